/*
 * Random bytes, for the DLLs that give them to images.
 */
#ifndef WIN32_RANDOM_H
#define WIN32_RANDOM_H

#include "loader/win32/types.h"

/* Fills the buffer from the host kernel; false when the kernel has none to give. */
bool win32_random(void *buffer, size_t size);

#endif
