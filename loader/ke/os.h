/*
 * The Windows version that a process is told, and what its program's image changes of it.
 * The version is 10.0.19045 (22H2), to which the layouts of TEB and PEB belong.
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
