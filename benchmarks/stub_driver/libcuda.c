/* The functions of the CUDA driver that Triton calls. They do nothing, and succeed; only a tensor map is checked. */
#include <stddef.h>
#include <stdint.h>

typedef int Result;
typedef unsigned long long Pointer;

static int context;

Result cuInit(unsigned flags) { return 0; }
Result cuDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}
Result cuDeviceGetCount(int* count) {
  *count = 1;
  return 0;
}
Result cuDeviceGet(int* device, int number) {
  *device = number;
  return 0;
}
/* Attributes by their numbers in cuda.h, as an H100 answers. */
Result cuDeviceGetAttribute(int* value, int attribute, int device) {
  switch (attribute) {
    case 8:
      *value = 49152;
      break; /* shared memory of a block */
    case 10:
      *value = 32;
      break; /* warp size */
    case 16:
      *value = 132;
      break; /* multiprocessors */
    case 75:
      *value = 9;
      break; /* compute capability, major */
    case 76:
      *value = 0;
      break; /* minor */
    case 97:
      *value = 232448;
      break; /* shared memory of a block that opts in */
    default:
      *value = 1024;
  }
  return 0;
}
Result cuCtxGetCurrent(void** current) {
  *current = &context;
  return 0;
}
Result cuCtxSetCurrent(void* current) { return 0; }
Result cuCtxGetDevice(int* device) {
  *device = 0;
  return 0;
}
Result cuDevicePrimaryCtxRetain(void** retained, int device) {
  *retained = &context;
  return 0;
}
Result cuCtxGetLimit(size_t* value, int limit) {
  *value = 0;
  return 0;
}
Result cuCtxSetLimit(int limit, size_t value) { return 0; }
Result cuFuncGetAttribute(int* value, int attribute, void* function) {
  *value = attribute == 0 ? 1024 : attribute == 4 ? 100 : 0; /* threads, registers */
  return 0;
}
Result cuFuncSetAttribute(void* function, int attribute, int value) { return 0; }
Result cuFuncSetCacheConfig(void* function, int config) { return 0; }
Result cuGetErrorString(Result error, const char** text) {
  *text = "stub";
  return 0;
}
Result cuLaunchKernelEx(const void* config, void* function, void** parameters, void** extra) { return 0; }
Result cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                      unsigned block_y, unsigned block_z, unsigned shared, void* stream, void** parameters,
                      void** extra) {
  return 0;
}
Result cuModuleLoadData(void** module, const void* image) {
  *module = &context;
  return 0;
}
Result cuModuleGetFunction(void** function, void* module, const char* name) {
  *function = &context;
  return 0;
}
Result cuModuleUnload(void* module) { return 0; }
Result cuOccupancyMaxActiveClusters(int* count, void* function, const void* config) {
  *count = 1;
  return 0;
}
Result cuPointerGetAttribute(void* data, int attribute, Pointer pointer) {
  *(Pointer*)data = pointer;
  return 0;
}
Result cuPointerGetAttributes(unsigned count, int* attributes, void** data, Pointer pointer) { return 0; }
/* Refuses what the documentation of CUDA 13 forbids for a map that is not interleaved. */
Result cuTensorMapEncodeTiled(void* map, int type, uint32_t rank, void* address, const uint64_t* sizes,
                              const uint64_t* strides, const uint32_t* box, const uint32_t* steps, int interleave,
                              int swizzle, int promotion, int fill) {
  static const uint32_t element_bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  static const uint32_t swizzled_bytes[] = {256 * 8, 32, 64, 128};
  if (type < 0 || type > 12 || swizzle < 0 || swizzle > 3 || interleave != 0 || rank < 1 || rank > 5) return 1;
  uint32_t row = box[0] * element_bytes[type];
  int is_right = (uintptr_t)map % 64 == 0 && (uintptr_t)address % 16 == 0;
  is_right &= row % 16 == 0 && row <= swizzled_bytes[swizzle];
  for (uint32_t i = 0; i < rank; i++) {
    is_right &= 0 < sizes[i] && sizes[i] <= 1ull << 32;
    is_right &= 0 < box[i] && box[i] <= 256 && 0 < steps[i] && steps[i] <= 8;
    if (i + 1 < rank) is_right &= strides[i] % 16 == 0 && strides[i] < 1ull << 40;
  }
  return is_right ? 0 : 1;
}
Result cuTensorMapEncodeIm2col(void* map, ...) { return 0; }
Result cuStreamSynchronize(void* stream) { return 0; }
Result cuMemcpyDtoH_v2(void* target, Pointer source, size_t size) { return 0; }
