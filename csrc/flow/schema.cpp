#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(slt_fast, library) { library.def("rgb_to_grey(Tensor frames) -> Tensor"); }
