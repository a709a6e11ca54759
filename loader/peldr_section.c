/*
 * The public API: section objects for the host program (loader/peldr.h).
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/mm/snapshot.h"
#include "loader/peldr_api.h"
#include "loader/win32/section.h"
#include "loader/win32/strings.h"

/* A section is its handle, so that a stale one is an error and no crash. */
static peldr_section *of_handle(HANDLE handle)
{
    return (peldr_section *)handle;
}

static nt_status get(peldr_section *section, struct ob_object **out, uint32_t *access,
                     struct pe_error *err)
{
    nt_status status = win32_section_get((HANDLE)section, 0, out, access);
    return nt_ok(status) ? status
                         : pe_fail(err, status, "%p is no open section", (const void *)section);
}

/* ---- names ---- */

/* `*text` is what the name lies in: freed by the caller. */
static nt_status parse_name(const char *name, uint16_t **text, struct ob_name *out, bool *global,
                            struct pe_error *err)
{
    *text = NULL;
    if (name && !(*text = win32_wide_of_utf8(name))) {
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for the name of a section");
    }
    nt_status status = ob_name_parse(*text, out, global);
    return nt_ok(status) ? status
                         : pe_fail(err, status, "\"%s\": %s", name, nt_status_text(status));
}

/* ---- handles ---- */

static nt_status make_handle(struct ob_object *object, uint32_t access, peldr_section **out,
                             struct pe_error *err)
{
    uint32_t handle = ob_handle_create(object, access, 0);
    ob_object_unref(object);
    if (!handle) {
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for the handle of a section");
    }
    *out = of_handle(win32_handle(handle));
    return STATUS_SUCCESS;
}

/* What the descriptor allows; the host's files have no right to execute apart from reading. */
static nt_status describe_file(int fd, struct ob_section_create *how, char *path, size_t size,
                               struct pe_error *err)
{
    char self[32];
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) {
        return pe_fail(err, STATUS_INVALID_HANDLE, "%d is no open descriptor", fd);
    }
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(self, path, size - 1);
    path[length > 0 ? length : 0] = '\0';
    how->fd = fd;
    how->path = path[0] == '/' ? path : NULL;
    if (!(flags & O_PATH)) {
        int mode = flags & O_ACCMODE;
        how->file_read = how->file_execute = mode != O_WRONLY;
        how->file_write = mode != O_RDONLY;
    }
    return STATUS_SUCCESS;
}

peldr_section *peldr_section_create(const char *name, int fd, uint64_t size, uint32_t protect,
                                    int *existed)
{
    struct pe_error *err = peldr_begin();
    char path[PATH_MAX];
    uint16_t *text;
    struct ob_object *object;
    peldr_section *section = NULL;
    uint32_t attributes = protect & WIN32_SEC_BITS;
    struct ob_section_create how = {.fd = -1,
                                    .size = size,
                                    .protect = protect & ~WIN32_SEC_BITS,
                                    .attributes = attributes ? attributes : (uint32_t)SEC_COMMIT};
    nt_status status = parse_name(name, &text, &how.name, &how.global, err);
    if (nt_ok(status) && fd != -1) {
        status = describe_file(fd, &how, path, sizeof path, err);
    }
    if (nt_ok(status)) {
        status = ob_section_create(&how, &object, err);
    }
    if (nt_ok(status) && existed) {
        *existed = status == STATUS_OBJECT_NAME_EXISTS;
    }
    if (nt_ok(status)) {
        status = make_handle(object, win32_section_rights(how.protect), &section, err);
    }
    free(text);
    return peldr_result(status) == 0 ? section : NULL;
}

peldr_section *peldr_section_open(const char *name, uint32_t access)
{
    struct pe_error *err = peldr_begin();
    uint16_t *text;
    struct ob_name parsed;
    bool global;
    struct ob_object *object;
    peldr_section *section = NULL;
    nt_status status = parse_name(name, &text, &parsed, &global, err);
    if (nt_ok(status)) {
        status = ob_section_open(&parsed, global, &object, err);
    }
    if (nt_ok(status)) {
        status = make_handle(object, win32_section_access(access), &section, err);
    }
    free(text);
    return peldr_result(status) == 0 ? section : NULL;
}

int peldr_section_close(peldr_section *section)
{
    struct pe_error *err = peldr_begin();
    struct ob_object *object;
    nt_status status = get(section, &object, NULL, err);
    if (nt_ok(status)) {
        ob_object_unref(object);
        status = ob_handle_close(win32_ob_handle((HANDLE)section));
    }
    return peldr_result(status);
}

int peldr_section_info(peldr_section *section, struct peldr_section_info *out)
{
    struct pe_error *err = peldr_begin();
    struct ob_object *object;
    struct ob_section_info info;
    nt_status status = get(section, &object, NULL, err);
    if (nt_ok(status)) {
        ob_section_query(object, &info);
        ob_object_unref(object);
        *out = (struct peldr_section_info){info.size, info.protect, info.attributes};
    }
    return peldr_result(status);
}

/* ---- views ---- */

/* Pages that another process commits are opened by the fault on them, which somebody has to see. */
static nt_status prepare_faults(struct ob_object *object, struct pe_error **err)
{
    struct ob_section_info info;
    ob_section_query(object, &info);
    return info.attributes & SEC_RESERVE ? peldr_enter(err) : STATUS_SUCCESS;
}

void *peldr_section_map(peldr_section *section, uint32_t access, uint64_t offset, size_t size,
                        void *base)
{
    struct pe_error *err = peldr_begin();
    struct mm_data_map how = {.base = (uint64_t)(uintptr_t)base,
                              .offset = offset,
                              .size = size,
                              .protect = win32_view_protect(access)};
    struct ob_object *object;
    uint32_t granted;
    uint64_t at = 0, mapped;
    nt_status status = get(section, &object, &granted, err);
    if (nt_ok(status)) {
        status = prepare_faults(object, &err);
        if (nt_ok(status)) {
            status = ob_section_map(object, granted, &how, &at, &mapped, err);
            if (nt_ok(status)) {
                mm_exempt(at);
            }
        }
        ob_object_unref(object);
    }
    return peldr_result(status) == 0 ? (void *)(uintptr_t)at : NULL;
}

int peldr_section_commit(void *address, size_t size)
{
    struct pe_error *err = peldr_begin();
    struct mm_region region;
    uint64_t base = (uint64_t)(uintptr_t)address, bytes = size;
    nt_status status = mm_query(base, &region);
    if (nt_ok(status) && region.type != MEM_MAPPED) {
        status = pe_fail(err, STATUS_NOT_MAPPED_VIEW, "%p lies in no view of a section", address);
    }
    if (nt_ok(status)) {
        uint32_t protect = region.allocation_protect & 0xFF;
        status = mm_alloc(&base, &bytes, MEM_COMMIT, protect, err);
    }
    return peldr_result(status);
}

int peldr_section_flush(const void *address, size_t size)
{
    struct pe_error *err = peldr_begin();
    uint64_t at = (uint64_t)(uintptr_t)address, bytes = size;
    return peldr_result(mm_flush_view(&at, &bytes, err));
}

int peldr_section_unmap(const void *address)
{
    struct pe_error *err = peldr_begin();
    return peldr_result(ob_section_unmap((uint64_t)(uintptr_t)address, err));
}
