/*
 * NT page protections and their translation to the host's (design, decision 3).
 *
 * NT's constants are kept as NT's everywhere above this file. The two tables here are the only
 * place that knows both worlds.
 */
#ifndef MM_PROTECT_H
#define MM_PROTECT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PAGE_NOACCESS = 0x01,
    PAGE_READONLY = 0x02,
    PAGE_READWRITE = 0x04,
    PAGE_WRITECOPY = 0x08,
    PAGE_EXECUTE = 0x10,
    PAGE_EXECUTE_READ = 0x20,
    PAGE_EXECUTE_READWRITE = 0x40,
    PAGE_EXECUTE_WRITECOPY = 0x80,
    PAGE_GUARD = 0x100,
    PAGE_NOCACHE = 0x200,
    PAGE_WRITECOMBINE = 0x400,
};

enum {
    MEM_COMMIT = 0x1000,
    MEM_RESERVE = 0x2000,
    MEM_DECOMMIT = 0x4000,
    MEM_RELEASE = 0x8000,
    MEM_FREE = 0x10000,
    MEM_PRIVATE = 0x20000,
    MEM_MAPPED = 0x40000,
    MEM_RESET = 0x80000,
    MEM_TOP_DOWN = 0x100000,
    MEM_WRITE_WATCH = 0x200000,
    MEM_IMAGE = 0x1000000,
};

/* Initial protection of a PE section from its characteristics (facts 1.1). */
uint32_t mm_protect_of_section(uint32_t characteristics);
/* PROT_* for an NT protection (modifier bits ignored, PAGE_GUARD = PROT_NONE); -1 when it is none.
 */
int mm_prot_of_protect(uint32_t protect);
/* Exactly one base protection, only known modifiers. */
bool mm_protect_valid(uint32_t protect);
/* What a WRITECOPY protection becomes on a page that has been written; others unchanged. */
uint32_t mm_protect_after_write(uint32_t protect);
/* What VirtualProtect stores for a private image page: READWRITE -> WRITECOPY ... (facts 1.4). */
uint32_t mm_protect_for_image(uint32_t protect);
/* May a section that was created with `section` be mapped with `view`? (facts 4.2) */
bool mm_protect_allows_view(uint32_t section, uint32_t view);
/* May a page of a view with `view` get `page` from VirtualProtect? (facts 4.4) */
bool mm_protect_allows_page(uint32_t view, uint32_t page);
/* "PAGE_EXECUTE_READ", "PAGE_READWRITE | PAGE_GUARD", "0" ...: a static string. */
const char *mm_protect_name(uint32_t protect);

#endif
