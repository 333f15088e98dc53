// Chooses where device code runs: on a GPU, or in tests on this machine's CPU.
#pragma once

#ifdef OGV_EMULATED
#include "emulation.h"
#else
#include "cuda_platform.h"
#endif
