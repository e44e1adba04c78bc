#define SLT_FAST_INSTRUCTION_SET baseline
#include "disvr.h"
