#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(slt_fast, library) {
  library.def("rgb_to_grey(Tensor frames) -> Tensor");
  library.def(
      "disvr(Tensor frames, int finest_level, int patch_stride, int descent_iterations, int warps, int fixed_points, "
      "int sweeps) -> Tensor");
  library.def("cpu_instruction_set() -> str");
  library.def("built_for() -> str");
}
