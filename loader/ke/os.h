/*
 * The Windows version that a process is told, and what its program's image changes of it.
 *
 * Which one: mm_windows(). For PE32 programs "XP" is 5.1 with service pack 3, for PE32+ its x64
 * edition, 5.2 with service pack 2; "7" is 6.1 with service pack 1, "10" is 10.0.19045 (22H2).
 */
#ifndef KE_OS_H
#define KE_OS_H

#include <stdint.h>

struct ke_peb;
struct pe_image;

struct ke_os {
    uint32_t major, minor;
    uint16_t build;
    uint16_t service_pack; /* OSCSDVersion: major << 8 | minor */
};

const struct ke_os *ke_os(void);
/* The version fields of the PEB. */
void ke_os_show(struct ke_peb *peb);
/*
 * What a program's image sets in the PEB (MmCreatePeb, LdrpInitializeProcess): Win32VersionValue
 * the version fields, the load configuration the global flags, the version of the service pack and
 * tunables of critical sections and the heap. `program` is a mapped image.
 */
void ke_os_override(struct ke_peb *peb, const struct pe_image *program);

#endif
