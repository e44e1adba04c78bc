// Reports what the extension was built for, for slt_fast.info.
#include <torch/csrc/stable/library.h>

#include <string>

namespace slt_fast {
namespace {

std::string built_for() { return SLT_FAST_BUILT_FOR; }

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(slt_fast, CompositeExplicitAutograd, library) {
  library.impl("built_for", TORCH_BOX(&built_for));
}

}  // namespace slt_fast
