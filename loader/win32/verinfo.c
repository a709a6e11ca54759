/*
 * VERSION.dll: version information of image files (Microsoft, "VS_VERSIONINFO").
 *
 * The resource is a tree of blocks: WORD length, WORD value length, WORD type (1 = text, whose
 * value length counts characters), a NUL-terminated UTF-16 key, then the value and the children,
 * each aligned to 4 bytes. A caller's buffer holds a copy of the resource and, behind the mark, as
 * much room again, where VerQueryValueA puts the texts that it converts; the room of a text is at
 * half its offset.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/ldr.h"
#include "loader/win32/codepage.h"
#include "loader/win32/errors.h"
#include "loader/win32/modhandle.h"
#include "loader/win32/resource.h"
#include "loader/win32/smalldlls.h"
#include "loader/win32/strings.h"

#define RT_VERSION      ((const WCHAR *)(uintptr_t)16)
#define VS_VERSION_INFO ((const WCHAR *)(uintptr_t)1)
#define HEADER_SIZE     6u

static const uint8_t mark[4] = {'F', 'E', '2', 'X'};

static uint32_t align4(uint32_t offset)
{
    return (offset + 3) & ~3u;
}

/* What a buffer needs for a resource of `size` bytes: the mark and room for texts as ANSI. */
static uint32_t buffer_size(uint32_t size)
{
    return align4(size) + (uint32_t)sizeof(mark) + align4(size);
}

/* ---- reading the resource ---- */

/* The library is the caller's to free, also without a resource in it. */
static const void *open_resource(const WCHAR *file, HMODULE *library, uint32_t *size)
{
    HRSRC resource;
    *library = NULL;
    if (!file || !file[0])
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    nt_status status = win32_library_load(file, LDR_AS_DATAFILE, library);
    if (!nt_ok(status)) {
        *library = NULL;
        uint32_t error = win32_error_of_status(status);
        return win32_fail_null(error == ERROR_MOD_NOT_FOUND ? ERROR_FILE_NOT_FOUND : error);
    }
    if (!win32_result(win32_resource_find(*library, RT_VERSION, VS_VERSION_INFO, 0, &resource)))
        return NULL;
    /* Lengths inside have 16 bits. */
    const void *data = win32_resource_data(*library, resource, size);
    return data && *size >= HEADER_SIZE && *size <= 0xFFFF
               ? data
               : win32_fail_null(ERROR_RESOURCE_DATA_NOT_FOUND);
}

static DWORD info_size(const WCHAR *file, DWORD *handle)
{
    HMODULE library;
    uint32_t size = 0;
    if (handle)
        *handle = 0;
    const void *data = open_resource(file, &library, &size);
    if (library)
        win32_library_free(library);
    return data ? buffer_size(size) : 0;
}

/*
 * Fills a buffer; in one that is too small the root block ends where the copy does, and there is no
 * mark behind it.
 */
static void fill(uint8_t *out, uint32_t room, const void *data, uint32_t size)
{
    memset(out, 0, room);
    if (room >= buffer_size(size)) {
        memcpy(out, data, size);
        memcpy(out + align4(size), mark, sizeof(mark));
    } else if (room >= HEADER_SIZE + sizeof(mark)) {
        size = align4(size) > room - 4u ? (room - 4u) & ~3u : size;
        memcpy(out, data, size);
    }
    if (room < HEADER_SIZE)
        return;
    uint16_t length = room >= HEADER_SIZE + sizeof(mark) ? (uint16_t)size : 0;
    memcpy(out, &length, sizeof(length));
}

static BOOL info(const WCHAR *file, DWORD size, void *out)
{
    HMODULE library;
    uint32_t actual = 0;
    if (!out)
        return win32_fail(ERROR_INVALID_PARAMETER);
    const void *data = open_resource(file, &library, &actual);
    if (data)
        fill(out, size, data, actual);
    if (library)
        win32_library_free(library);
    return data != NULL;
}

static DWORD WINAPI_DEF ver_GetFileVersionInfoSizeW(const WCHAR *file, DWORD *handle)
{
    return info_size(file, handle);
}

static DWORD WINAPI_DEF ver_GetFileVersionInfoSizeA(const char *file, DWORD *handle)
{
    WCHAR *wide;
    DWORD size = win32_widen_path(file, &wide) ? info_size(wide, handle) : 0;
    free(wide);
    return size;
}

static DWORD WINAPI_DEF ver_GetFileVersionInfoSizeExW(DWORD flags, const WCHAR *file, DWORD *handle)
{
    return info_size(file, handle);
}

static BOOL WINAPI_DEF ver_GetFileVersionInfoW(const WCHAR *file, DWORD handle, DWORD size,
                                               void *out)
{
    return info(file, size, out);
}

static BOOL WINAPI_DEF ver_GetFileVersionInfoA(const char *file, DWORD handle, DWORD size,
                                               void *out)
{
    WCHAR *wide;
    BOOL ok = win32_widen_path(file, &wide) && info(wide, size, out);
    free(wide);
    return ok;
}

static BOOL WINAPI_DEF ver_GetFileVersionInfoExW(DWORD flags, const WCHAR *file, DWORD handle,
                                                 DWORD size, void *out)
{
    return info(file, size, out);
}

/* ---- looking values up ---- */

/* One block of the tree; offsets count from the begin of the resource. */
struct block {
    struct pe_span all; /* up to the end of the parent */
    uint32_t key, value, value_size, children, end;
    bool text;
};

static bool read_block(struct pe_span all, uint32_t at, struct block *out)
{
    uint16_t length, value_length, type, c;
    if (!pe_u16(all, at, &length) || !pe_u16(all, at + 2u, &value_length) ||
        !pe_u16(all, at + 4u, &type) || length < HEADER_SIZE || length > all.size - at)
        return false;
    *out = (struct block){.key = at + HEADER_SIZE, .end = at + length, .text = type == 1};
    if (!pe_sub(all, 0, out->end, &out->all))
        return false;
    uint32_t end = out->key;
    do {
        if (!pe_u16(out->all, end, &c))
            return false;
        end += 2;
    } while (c);
    uint32_t start = align4(end), size = value_length * (out->text ? 2u : 1u);
    out->value = start < out->end ? start : out->end;
    out->value_size = size < out->end - out->value ? size : out->end - out->value;
    start = align4(out->value + out->value_size);
    out->children = start < out->end ? start : out->end;
    return true;
}

static bool key_is(const struct block *block, const WCHAR *name, size_t length)
{
    uint16_t c;
    for (size_t i = 0; i < length; i++) {
        if (!pe_u16(block->all, block->key + 2 * i, &c) || win32_upper(c) != win32_upper(name[i]))
            return false;
    }
    return pe_u16(block->all, block->key + 2 * length, &c) && c == 0;
}

static bool find_child(const struct block *parent, const WCHAR *name, size_t length,
                       struct block *out)
{
    struct block child;
    for (uint32_t at = parent->children; read_block(parent->all, at, &child);
         at = align4(child.end)) {
        if (key_is(&child, name, length)) {
            *out = child;
            return true;
        }
    }
    return false;
}

/* Follows "\key\key"; "" and "\" are the root. */
static bool find_path(const void *memory, const WCHAR *path, struct block *out)
{
    uint16_t length;
    memcpy(&length, memory, sizeof(length));
    if (!read_block((struct pe_span){memory, length}, 0, out))
        return win32_fail(ERROR_INVALID_DATA);
    while (*path) {
        size_t size = 0;
        while (*path == '\\' || *path == '/')
            path++;
        while (path[size] && path[size] != '\\' && path[size] != '/')
            size++;
        if (size && !find_child(out, path, size, out))
            return win32_fail(ERROR_RESOURCE_TYPE_NOT_FOUND);
        path += size;
    }
    return true;
}

static BOOL query(const void *memory, const WCHAR *path, const void **out, UINT *size,
                  struct block *block)
{
    if (!memory || !out)
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (size)
        *size = 0;
    if (!find_path(memory, path, block))
        return FALSE;
    *out = (const uint8_t *)memory + block->value;
    if (size)
        *size = block->text ? block->value_size / 2 : block->value_size;
    return TRUE;
}

static BOOL WINAPI_DEF ver_VerQueryValueW(const void *memory, const WCHAR *path, const void **out,
                                          UINT *size)
{
    struct block block;
    static const WCHAR empty[1];
    return query(memory, path ? path : empty, out, size, &block);
}

/* The text as ANSI behind the mark; without a mark there is no room for it. */
static BOOL convert_text(void *memory, const struct block *block, const void **out, UINT *size)
{
    uint16_t root;
    memcpy(&root, memory, sizeof(root));
    uint8_t *at = (uint8_t *)memory + align4(root);
    if (memcmp(at, mark, sizeof(mark)) != 0)
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    char *text = (char *)at + sizeof(mark) + block->value / 2;
    size_t units = 0, length = block->value_size / 2;
    win32_from_wide(CP_ACP, false, (const WCHAR *)*out, length, text, length, '?', NULL, &units);
    *out = text;
    if (size)
        *size = (UINT)units;
    return TRUE;
}

static BOOL WINAPI_DEF ver_VerQueryValueA(void *memory, const char *path, const void **out,
                                          UINT *size)
{
    struct block block = {0};
    WCHAR *wide;
    BOOL ok = win32_widen(path ? path : "", &wide) && query(memory, wide, out, size, &block);
    free(wide);
    return ok && block.text ? convert_text(memory, &block, out, size) : ok;
}

const struct ldr_builtin_export version_exports[] = {
    LDR_FN(ver_, GetFileVersionInfoSizeA),
    LDR_FN(ver_, GetFileVersionInfoSizeW),
    LDR_FN(ver_, GetFileVersionInfoSizeExW),
    LDR_FN(ver_, GetFileVersionInfoA),
    LDR_FN(ver_, GetFileVersionInfoW),
    LDR_FN(ver_, GetFileVersionInfoExW),
    LDR_FN(ver_, VerQueryValueA),
    LDR_FN(ver_, VerQueryValueW),
};
const size_t version_count = sizeof(version_exports) / sizeof(*version_exports);
