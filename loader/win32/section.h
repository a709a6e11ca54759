/*
 * Section objects behind handles, for KERNEL32 and NTDLL: from a file handle to a section, from a
 * section handle to a view in this or another process.
 */
#ifndef WIN32_SECTION_H
#define WIN32_SECTION_H

#include "loader/ob/section.h"
#include "loader/win32/types.h"

enum {
    FILE_MAP_COPY = 0x1,
    FILE_MAP_WRITE = 0x2,
    FILE_MAP_READ = 0x4,
    FILE_MAP_EXECUTE = 0x20,
};
/* CreateFileMapping has PAGE_* and SEC_* in one parameter; these bits are the latter. */
#define WIN32_SEC_BITS 0xFFFC0000u

/* Access of the handle that CreateFileMapping makes; of one that OpenFileMapping makes with
 * FILE_MAP_*; protection of the view that MapViewOfFile makes with FILE_MAP_* (facts 4.2). */
uint32_t win32_section_rights(uint32_t protect);
uint32_t win32_section_access(uint32_t access);
uint32_t win32_view_protect(uint32_t access);

struct win32_section_create {
    HANDLE file; /* NULL = the paging file */
    struct ob_name name;
    bool global;
    uint64_t size;
    uint32_t protect, attributes; /* PAGE_*, SEC_* */
    uint32_t access;              /* SECTION_* of the new handle */
    uint32_t flags;               /* of the new handle: 1 inherit */
};
/* ob_section_create() and a handle: STATUS_OBJECT_NAME_EXISTS is a success. */
nt_status win32_section_create(const struct win32_section_create *how, HANDLE *out);
nt_status win32_section_open(const struct ob_name *name, bool global, uint32_t access,
                             uint32_t flags, HANDLE *out);
/* The section behind a handle that grants `needed`; a new reference. `access` may be NULL. */
nt_status win32_section_get(HANDLE handle, uint32_t needed, struct ob_object **out,
                            uint32_t *access);

/* A view in the process of that handle (PROCESS_VM_OPERATION). */
nt_status win32_section_map(HANDLE section, HANDLE process, const struct mm_data_map *how,
                            uint64_t *base, uint64_t *size);
nt_status win32_section_unmap(HANDLE process, const void *address);

/*
 * "\Device\HarddiskVolume1\dir\file" of the file that is mapped at `address`, malloc'ed:
 * STATUS_INVALID_ADDRESS where nothing is mapped, STATUS_FILE_INVALID for the paging file.
 */
nt_status win32_mapped_name(const void *address, WCHAR **out);

#endif
