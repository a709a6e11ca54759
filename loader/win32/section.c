/*
 * Section objects behind handles (win32/section.h).
 */
#include "loader/win32/section.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ob/process.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/strings.h"

enum { PROCESS_VM_OPERATION = 0x8 };

/* ---- Win32's words for access -------------------------------------------------------------------
 */

uint32_t win32_section_rights(uint32_t protect)
{
    static const struct {
        uint32_t protect, rights;
    } table[] = {
        {PAGE_READONLY, SECTION_MAP_READ},
        {PAGE_READWRITE, SECTION_MAP_READ | SECTION_MAP_WRITE},
        {PAGE_WRITECOPY, SECTION_MAP_READ},
        {PAGE_EXECUTE_READ, SECTION_MAP_READ | SECTION_MAP_EXECUTE},
        {PAGE_EXECUTE_READWRITE, SECTION_MAP_READ | SECTION_MAP_WRITE | SECTION_MAP_EXECUTE},
        {PAGE_EXECUTE_WRITECOPY, SECTION_MAP_READ | SECTION_MAP_EXECUTE},
    };
    const uint32_t always = 0xF0000 | SECTION_QUERY; /* STANDARD_RIGHTS_REQUIRED */
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        if (table[i].protect == protect)
            return always | table[i].rights;
    }
    return always;
}

/* FILE_MAP_* are SECTION_* but for two: a copy is made of what can be read, and the bit of
 * execution is another one. */
uint32_t win32_section_access(uint32_t access)
{
    if (access == FILE_MAP_COPY)
        return SECTION_MAP_READ | SECTION_QUERY;
    if (access & FILE_MAP_EXECUTE)
        access = (access & ~(uint32_t)FILE_MAP_EXECUTE) | SECTION_MAP_EXECUTE;
    return access | SECTION_QUERY;
}

/* COPY counts when it stands alone, WRITE includes READ. */
uint32_t win32_view_protect(uint32_t access)
{
    bool executes = access & FILE_MAP_EXECUTE;
    if (access & FILE_MAP_WRITE)
        return executes ? PAGE_EXECUTE_READWRITE : PAGE_READWRITE;
    if (access & FILE_MAP_READ)
        return executes ? PAGE_EXECUTE_READ : PAGE_READONLY;
    if (access & FILE_MAP_COPY)
        return executes ? PAGE_EXECUTE_WRITECOPY : PAGE_WRITECOPY;
    return PAGE_NOACCESS;
}

/* ---- handles ------------------------------------------------------------------------------------
 */

static nt_status make_handle(struct ob_object *section, uint32_t access, uint32_t flags,
                             HANDLE *out)
{
    uint32_t handle = ob_handle_create(section, access, flags);
    ob_object_unref(section);
    if (!handle)
        return STATUS_NO_MEMORY;
    *out = win32_handle(handle);
    return STATUS_SUCCESS;
}

nt_status win32_section_create(const struct win32_section_create *how, HANDLE *out)
{
    struct ob_section_create create = {.name = how->name,
                                       .global = how->global,
                                       .fd = -1,
                                       .size = how->size,
                                       .protect = how->protect,
                                       .attributes = how->attributes};
    struct ob_object *object = NULL, *section;
    uint32_t granted;
    if (how->file) {
        nt_status status =
            ob_handle_get(win32_ob_handle(how->file), &win32_file_type, &object, &granted);
        if (!nt_ok(status))
            return status;
        const struct win32_file *file = (const struct win32_file *)object;
        create.fd = file->fd;
        create.path = file->path;
        create.file_read = granted & FILE_READ_DATA;
        create.file_write = granted & FILE_WRITE_DATA;
        create.file_execute = granted & FILE_EXECUTE;
    }
    nt_status status = ob_section_create(&create, &section, NULL);
    if (object)
        ob_object_unref(object);
    if (!nt_ok(status))
        return status;
    nt_status made = make_handle(section, how->access, how->flags, out);
    return nt_ok(made) ? status : made;
}

nt_status win32_section_open(const struct ob_name *name, bool global, uint32_t access,
                             uint32_t flags, HANDLE *out)
{
    struct ob_object *section;
    nt_status status = ob_section_open(name, global, &section, NULL);
    return nt_ok(status) ? make_handle(section, access, flags, out) : status;
}

nt_status win32_section_get(HANDLE handle, uint32_t needed, struct ob_object **out,
                            uint32_t *access)
{
    uint32_t granted;
    nt_status status = ob_handle_get(win32_ob_handle(handle), &ob_section_type, out, &granted);
    if (!nt_ok(status))
        return status;
    granted = ob_section_access(granted);
    if (access)
        *access = granted;
    if (!(needed & ~granted))
        return STATUS_SUCCESS;
    ob_object_unref(*out);
    *out = NULL; /* a caller may release what it was given */
    return STATUS_ACCESS_DENIED;
}

/* ---- views --------------------------------------------------------------------------------------
 */

static nt_status get_process(HANDLE handle, struct ob_object **out)
{
    uint32_t access;
    nt_status status = ob_handle_get(win32_ob_handle(handle), &ob_process_type, out, &access);
    if (!nt_ok(status) || access & PROCESS_VM_OPERATION)
        return status;
    ob_object_unref(*out);
    *out = NULL; /* a caller may release what it was given */
    return STATUS_ACCESS_DENIED;
}

nt_status win32_section_map(HANDLE handle, HANDLE process, const struct mm_data_map *how,
                            uint64_t *base, uint64_t *size)
{
    struct ob_object *section, *target;
    uint32_t access;
    if (how->base % 0x10000 || how->offset % 0x10000)
        return STATUS_MAPPED_ALIGNMENT;
    nt_status status = win32_section_get(handle, 0, &section, &access);
    if (!nt_ok(status))
        return status;
    if (process == CURRENT_PROCESS) {
        status = ob_section_map(section, access, how, base, size, NULL);
    } else {
        status = get_process(process, &target);
        if (nt_ok(status)) {
            status = ob_section_map_into(target, section, access, how, base, size, NULL);
            ob_object_unref(target);
        }
    }
    ob_object_unref(section);
    return status;
}

nt_status win32_section_unmap(HANDLE process, const void *address)
{
    uint64_t at = (uint64_t)(uintptr_t)address;
    struct ob_object *target;
    if (process == CURRENT_PROCESS)
        return ob_section_unmap(at, NULL);
    nt_status status = get_process(process, &target);
    if (!nt_ok(status))
        return status;
    status = ob_section_unmap_from(target, at, NULL);
    ob_object_unref(target);
    return status;
}

/* ---- names ------------------------------------------------------------------------------------
 */

/* "C:\dir\file" -> "\Device\HarddiskVolume3\dir\file": a volume a drive, in the letters' order. */
static WCHAR *device_path(const WCHAR *path)
{
    char device[40];
    size_t skip = 0, length = 0;
    if (path[0] && path[1] == ':') {
        length = (size_t)snprintf(device, sizeof device, "\\Device\\HarddiskVolume%d",
                                  (path[0] | 0x20) - 'a' + 1);
        skip = 2;
    }
    size_t rest = win32_wlen(path + skip) + 1;
    WCHAR *out = malloc((length + rest) * sizeof *out);
    if (!out)
        return NULL;
    for (size_t i = 0; i < length; i++)
        out[i] = (WCHAR)device[i];
    memcpy(out + length, path + skip, rest * sizeof *out);
    return out;
}

nt_status win32_mapped_name(const void *address, WCHAR **out)
{
    char host[PATH_MAX];
    struct mm_region region;
    uint64_t at = (uint64_t)(uintptr_t)address;
    nt_status status = mm_query(at, &region);
    if (!nt_ok(status))
        return status;
    if (region.type != MEM_MAPPED && region.type != MEM_IMAGE)
        return STATUS_INVALID_ADDRESS;
    if (!mm_region_name(at, host, sizeof host) || host[0] != '/')
        return STATUS_FILE_INVALID;
    WCHAR *windows = win32_windows_path(host);
    *out = windows ? device_path(windows) : NULL;
    free(windows);
    return *out ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
}
