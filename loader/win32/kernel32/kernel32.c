/*
 * KERNEL32.dll: its families collected (kernel32/families.h).
 */
#include "loader/win32/kernel32/families.h"
#include "loader/win32/modules.h"
#include "loader/win32/process.h"

#define FAMILY(family) {kernel32_##family##_exports, 0},
static struct ldr_builtin_family families[] = {KERNEL32_FAMILIES(FAMILY)};
#undef FAMILY

#define COUNT(family) &kernel32_##family##_count,
static const size_t *const counts[] = {KERNEL32_FAMILIES(COUNT)};
#undef COUNT

struct ldr_builtin win32_kernel32 = {
    .name = "KERNEL32.dll",
    .preferred_base = 0x7B800000,
    .families = families,
    .family_count = sizeof(families) / sizeof(*families),
    .names = win32_names_kernel32,
    .attach = win32_process_setup,
};

void win32_kernel32_prepare(void)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
        families[i].count = *counts[i];
    win32_kernel32.name_count = win32_names_kernel32_count;
}
