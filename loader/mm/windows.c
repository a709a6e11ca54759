/*
 * The Windows version that this process stands for (section.h): one number, here because every room
 * from here on asks for it.
 */
#include <stdatomic.h>

#include "loader/mm/section.h"

static atomic_int current = PE_WINDOWS_10;

enum pe_windows mm_windows(void)
{
    return (enum pe_windows)atomic_load(&current);
}

void mm_set_windows(enum pe_windows windows)
{
    atomic_store(&current, (int)windows);
}
