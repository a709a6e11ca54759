/*
 * Resources: FindResource, LoadResource and the enumerations (PE specification, "The .rsrc
 * Section").
 *
 * HRSRC is the address of the resource's IMAGE_RESOURCE_DATA_ENTRY in the image, as on Windows.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/modhandle.h"
#include "loader/win32/resource.h"
#include "loader/win32/strings.h"
#include "pe/dirs.h"

#define LANG_EN_US 0x409

/* A type or name: a number, or a string. */
struct key {
    const WCHAR *name;
    uint32_t length;
    uint16_t id;
};

/* Integers pass as pointers below 64 KiB, or as "#123". */
static struct key key_of(const WCHAR *text)
{
    struct key key = {0};
    if ((uintptr_t)text <= 0xFFFF) {
        key.id = (uint16_t)(uintptr_t)text;
    } else if (text[0] == '#') {
        for (text++; *text >= '0' && *text <= '9'; text++)
            key.id = (uint16_t)(key.id * 10 + (*text - '0'));
    } else {
        key.name = text;
        key.length = (uint32_t)win32_wlen(text);
    }
    return key;
}

static bool enter(struct pe_resource_dir *dir, struct key key)
{
    struct pe_resource_entry entry;
    return pe_resource_find(dir, key.name, key.length, key.id, &entry) && entry.is_dir &&
           pe_resource_enter(dir, &entry, dir);
}

/* The data of the wanted language, or of the one that Windows would fall back to. */
static bool find_language(struct pe_resource_dir *dir, uint16_t language, bool exact,
                          struct pe_resource_entry *out)
{
    uint16_t wanted[] = {language, language & 0x3FF, 0, LANG_EN_US};
    size_t count = exact ? 2 : sizeof(wanted) / sizeof(*wanted);
    for (size_t i = 0; i < count; i++) {
        if (pe_resource_find(dir, NULL, 0, wanted[i], out))
            return true;
    }
    return !exact && pe_resource_entry_at(dir, 0, out);
}

static const uint8_t *data_entry(const struct pe_resource_dir *dir,
                                 const struct pe_resource_entry *entry)
{
    struct pe_span span;
    bool found = pe_rva_span(dir->image, dir->root_rva + entry->offset, 16, &span);
    return found && span.size >= 16 ? span.data : NULL;
}

nt_status win32_resource_find(HMODULE module, const WCHAR *type, const WCHAR *name,
                              uint16_t language, HRSRC *out)
{
    struct pe_resource_dir dir;
    struct pe_resource_entry entry;
    const struct pe_image *image = win32_module_image(module);
    if (!image || !pe_resource_root(image, &dir))
        return (nt_status)STATUS_RESOURCE_DATA_NOT_FOUND;
    if (!enter(&dir, key_of(type)))
        return (nt_status)STATUS_RESOURCE_TYPE_NOT_FOUND;
    if (!enter(&dir, key_of(name)))
        return (nt_status)STATUS_RESOURCE_NAME_NOT_FOUND;
    if (!find_language(&dir, language, language != 0, &entry) || entry.is_dir)
        return (nt_status)STATUS_RESOURCE_LANG_NOT_FOUND;
    const uint8_t *data = data_entry(&dir, &entry);
    *out = (HRSRC)data;
    return data ? STATUS_SUCCESS : (nt_status)STATUS_RESOURCE_DATA_NOT_FOUND;
}

const void *win32_resource_data(HMODULE module, HRSRC resource, uint32_t *size)
{
    uint32_t fields[2]; /* RVA, size */
    struct pe_span span;
    const struct pe_image *image = win32_module_image(module);
    if (!image || !resource)
        return NULL;
    memcpy(fields, resource, sizeof(fields));
    if (!pe_rva_span(image, fields[0], fields[1] ? fields[1] : 1, &span) || span.size < fields[1])
        return NULL;
    *size = fields[1];
    return span.data;
}

static HRSRC find(HMODULE module, const WCHAR *type, const WCHAR *name, uint16_t language)
{
    HRSRC out = NULL;
    return win32_result(win32_resource_find(module, type, name, language, &out)) ? out : NULL;
}

static HRSRC WINAPI_DEF k32_FindResourceW(HMODULE module, const WCHAR *name, const WCHAR *type)
{
    return find(module, type, name, 0);
}

static HRSRC WINAPI_DEF k32_FindResourceExW(HMODULE module, const WCHAR *type, const WCHAR *name,
                                            WORD language)
{
    return find(module, type, name, language);
}

static bool widen_key(const char *in, WCHAR **out)
{
    *out = (WCHAR *)in;
    return (uintptr_t)in <= 0xFFFF || win32_widen(in, out);
}

static void free_key(WCHAR *key)
{
    if ((uintptr_t)key > 0xFFFF)
        free(key);
}

static HRSRC find_a(HMODULE module, const char *type, const char *name, uint16_t language)
{
    WCHAR *wide_type = NULL, *wide_name = NULL;
    HRSRC result = NULL;
    if (widen_key(type, &wide_type) && widen_key(name, &wide_name))
        result = find(module, wide_type, wide_name, language);
    free_key(wide_type);
    free_key(wide_name);
    return result;
}

static HRSRC WINAPI_DEF k32_FindResourceA(HMODULE module, const char *name, const char *type)
{
    return find_a(module, type, name, 0);
}

static HRSRC WINAPI_DEF k32_FindResourceExA(HMODULE module, const char *type, const char *name,
                                            WORD language)
{
    return find_a(module, type, name, language);
}

static HGLOBAL WINAPI_DEF k32_LoadResource(HMODULE module, HRSRC resource)
{
    uint32_t size;
    const void *data = win32_resource_data(module, resource, &size);
    return data ? (HGLOBAL)data : win32_fail_null(ERROR_RESOURCE_DATA_NOT_FOUND);
}

static DWORD WINAPI_DEF k32_SizeofResource(HMODULE module, HRSRC resource)
{
    uint32_t size = 0;
    if (!win32_resource_data(module, resource, &size))
        return (DWORD)win32_fail(ERROR_RESOURCE_DATA_NOT_FOUND);
    return size;
}

static void *WINAPI_DEF k32_LockResource(HGLOBAL data)
{
    return data;
}

/* Resources are part of the image: FALSE is the documented success. */
static BOOL WINAPI_DEF k32_FreeResource(HGLOBAL data)
{
    return FALSE;
}

/* ---- enumeration --------------------------------------------------------------------------------
 */

typedef BOOL(WINAPI *enum_types)(HMODULE module, WCHAR *type, LONG_PTR parameter);
typedef BOOL(WINAPI *enum_names)(HMODULE module, const WCHAR *type, WCHAR *name,
                                 LONG_PTR parameter);
typedef BOOL(WINAPI *enum_languages)(HMODULE module, const WCHAR *type, const WCHAR *name,
                                     WORD language, LONG_PTR parameter);

/* An entry's key as the callbacks get it: a number as a pointer, or a copy that *owned holds. */
static WCHAR *entry_key(const struct pe_resource_dir *dir, const struct pe_resource_entry *entry,
                        WCHAR **owned)
{
    *owned = NULL;
    if (!entry->named)
        return (WCHAR *)(uintptr_t)entry->id;
    WCHAR *name = malloc((entry->name_len + 1u) * sizeof(WCHAR));
    for (uint32_t i = 0; name && i < entry->name_len; i++) {
        if (!pe_rva_u16(dir->image, entry->name_rva + 2 * i, &name[i])) {
            free(name);
            return NULL;
        }
    }
    if (name)
        name[entry->name_len] = 0;
    *owned = name;
    return name;
}

static bool root_of(HMODULE module, struct pe_resource_dir *out)
{
    const struct pe_image *image = win32_module_image(module);
    return (image && pe_resource_root(image, out)) || win32_fail(ERROR_RESOURCE_DATA_NOT_FOUND);
}

/* Calls back for each entry of a table with names; `type` NULL for the table of types. */
static BOOL each_name(HMODULE module, const struct pe_resource_dir *dir, const WCHAR *type,
                      bool types, void *callback, LONG_PTR parameter)
{
    struct pe_resource_entry entry;
    for (uint32_t i = 0; pe_resource_entry_at(dir, i, &entry); i++) {
        WCHAR *owned, *key = entry_key(dir, &entry, &owned);
        BOOL more = types ? ((enum_types)callback)(module, key, parameter)
                          : ((enum_names)callback)(module, type, key, parameter);
        free(owned);
        if (!more)
            return FALSE;
    }
    return TRUE;
}

static BOOL WINAPI_DEF k32_EnumResourceTypesW(HMODULE module, enum_types callback,
                                              LONG_PTR parameter)
{
    struct pe_resource_dir dir;
    return root_of(module, &dir) &&
           each_name(module, &dir, NULL, true, (void *)callback, parameter);
}

static BOOL WINAPI_DEF k32_EnumResourceNamesW(HMODULE module, const WCHAR *type,
                                              enum_names callback, LONG_PTR parameter)
{
    struct pe_resource_dir dir;
    if (!root_of(module, &dir))
        return FALSE;
    if (!enter(&dir, key_of(type)))
        return win32_fail(ERROR_RESOURCE_TYPE_NOT_FOUND);
    return each_name(module, &dir, type, false, (void *)callback, parameter);
}

static BOOL WINAPI_DEF k32_EnumResourceLanguagesW(HMODULE module, const WCHAR *type,
                                                  const WCHAR *name, enum_languages callback,
                                                  LONG_PTR parameter)
{
    struct pe_resource_dir dir;
    struct pe_resource_entry entry;
    if (!root_of(module, &dir))
        return FALSE;
    if (!enter(&dir, key_of(type)))
        return win32_fail(ERROR_RESOURCE_TYPE_NOT_FOUND);
    if (!enter(&dir, key_of(name)))
        return win32_fail(ERROR_RESOURCE_NAME_NOT_FOUND);
    for (uint32_t i = 0; pe_resource_entry_at(&dir, i, &entry); i++) {
        if (!callback(module, type, name, entry.id, parameter))
            return FALSE;
    }
    return TRUE;
}

const struct ldr_builtin_export kernel32_resource_exports[] = {
    LDR_FN(k32_, FindResourceA),          LDR_FN(k32_, FindResourceW),
    LDR_FN(k32_, FindResourceExA),        LDR_FN(k32_, FindResourceExW),
    LDR_FN(k32_, LoadResource),           LDR_FN(k32_, SizeofResource),
    LDR_FN(k32_, LockResource),           LDR_FN(k32_, FreeResource),
    LDR_FN(k32_, EnumResourceTypesW),     LDR_FN(k32_, EnumResourceNamesW),
    LDR_FN(k32_, EnumResourceLanguagesW),
};
const size_t kernel32_resource_count =
    sizeof(kernel32_resource_exports) / sizeof(*kernel32_resource_exports);
