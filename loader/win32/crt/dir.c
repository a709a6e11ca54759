/*
 * _findfirst and its like over KERNEL32's search, which knows the rules of patterns.
 */
#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/win32/crt/path.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/modules.h"
#include "loader/win32/strings.h"

/* WIN32_FIND_DATAW */
struct find_data {
    uint32_t attributes;
    FILETIME creation, access, write;
    uint32_t size_high, size_low, reserved[2];
    crt_wchar name[260], short_name[14];
};
typedef HANDLE(WINAPI *find_first_file)(const crt_wchar *pattern, struct find_data *data);
typedef BOOL(WINAPI *find_next_file)(HANDLE search, struct find_data *data);
typedef BOOL(WINAPI *find_close)(HANDLE search);

/* The _finddata structs: 32- or 64-bit times and sizes, narrow or wide name. */
struct layout {
    uint8_t time_at, time_bytes, size_at, size_bytes, name_at;
};
static const struct layout layout_32 = {4, 4, 16, 4, 20};
static const struct layout layout_32i64 = {4, 4, 16, 8, 24};
static const struct layout layout_64i32 = {8, 8, 32, 4, 36};
static const struct layout layout_64 = {8, 8, 32, 8, 40};

static void put(void *out, size_t at, uint64_t value, size_t bytes)
{
    memcpy((char *)out + at, &value, bytes);
}

static int64_t seconds_of(const FILETIME *time)
{
    int64_t ticks = win32_filetime_ticks(time);
    return ticks == 0 ? -1 : ticks / WIN32_TICKS - WIN32_EPOCH_SECONDS;
}

static void fill(void *out, const struct layout *layout, const struct find_data *data, bool wide)
{
    const FILETIME *times[] = {&data->creation, &data->access, &data->write};
    uint32_t attributes =
        data->attributes == 0x80 ? 0 : data->attributes; /* FILE_ATTRIBUTE_NORMAL */
    put(out, 0, attributes, 4);
    for (size_t i = 0; i < 3; i++) {
        put(out, layout->time_at + i * layout->time_bytes, (uint64_t)seconds_of(times[i]),
            layout->time_bytes);
    }
    put(out, layout->size_at, (uint64_t)data->size_high << 32 | data->size_low, layout->size_bytes);
    void *name = (char *)out + layout->name_at;
    if (wide) {
        memcpy(name, data->name, sizeof(data->name));
        return;
    }
    char *narrow = win32_narrow(data->name);
    size_t length = narrow != NULL ? strnlen(narrow, 259) : 0;
    memcpy(name, narrow != NULL ? narrow : "", length);
    ((char *)name)[length] = 0;
    free(narrow);
}

static intptr_t first_wide(const crt_wchar *pattern, void *out, const struct layout *layout,
                           bool wide)
{
    struct find_data data;
    if (pattern == NULL || out == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    HANDLE search =
        ((find_first_file)win32_find(&win32_kernel32, "FindFirstFileW"))(pattern, &data);
    if (search == INVALID_HANDLE_VALUE) {
        return crt_fail_from_win32(ke_last_error());
    }
    fill(out, layout, &data, wide);
    return (intptr_t)search;
}

static intptr_t first_narrow(const char *pattern, void *out, const struct layout *layout)
{
    crt_wchar *wide = crt_path_widen(pattern);
    intptr_t search = wide != NULL ? first_wide(wide, out, layout, false) : -1;
    free(wide);
    return search;
}

static int next(intptr_t search, void *out, const struct layout *layout, bool wide)
{
    struct find_data data;
    if (!((find_next_file)win32_find(&win32_kernel32, "FindNextFileW"))((HANDLE)search, &data)) {
        return crt_fail_from_win32(ke_last_error());
    }
    fill(out, layout, &data, wide);
    return 0;
}

static WINCDECL_DEF int crt__findclose(intptr_t search)
{
    return ((find_close)win32_find(&win32_kernel32, "FindClose"))((HANDLE)search)
               ? 0
               : crt_fail_from_win32(ke_last_error());
}

#define FIND_FUNCTIONS(suffix, layout)                                                        \
    static WINCDECL_DEF intptr_t crt__findfirst##suffix(const char *pattern, void *out)       \
    {                                                                                         \
        return first_narrow(pattern, out, &layout);                                           \
    }                                                                                         \
    static WINCDECL_DEF intptr_t crt__wfindfirst##suffix(const crt_wchar *pattern, void *out) \
    {                                                                                         \
        return first_wide(pattern, out, &layout, true);                                       \
    }                                                                                         \
    static WINCDECL_DEF int crt__findnext##suffix(intptr_t search, void *out)                 \
    {                                                                                         \
        return next(search, out, &layout, false);                                             \
    }                                                                                         \
    static WINCDECL_DEF int crt__wfindnext##suffix(intptr_t search, void *out)                \
    {                                                                                         \
        return next(search, out, &layout, true);                                              \
    }
FIND_FUNCTIONS(32, layout_32)
FIND_FUNCTIONS(32i64, layout_32i64)
FIND_FUNCTIONS(64i32, layout_64i32)
FIND_FUNCTIONS(64, layout_64)

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_findfirst32),
    CRT_FN(_findfirst32i64),
    CRT_FN(_findfirst64i32),
    CRT_FN(_findfirst64),
    CRT_FN(_wfindfirst32),
    CRT_FN(_wfindfirst32i64),
    CRT_FN(_wfindfirst64i32),
    CRT_FN(_wfindfirst64),
    CRT_FN(_findnext32),
    CRT_FN(_findnext32i64),
    CRT_FN(_findnext64i32),
    CRT_FN(_findnext64),
    CRT_FN(_wfindnext32),
    CRT_FN(_wfindnext32i64),
    CRT_FN(_wfindnext64i32),
    CRT_FN(_wfindnext64),
    CRT_BY_WORD(_findfirst, crt__findfirst64i32, crt__findfirst32),
    CRT_BY_WORD(_findfirsti64, crt__findfirst64, crt__findfirst32i64),
    CRT_BY_WORD(_findnext, crt__findnext64i32, crt__findnext32),
    CRT_BY_WORD(_findnexti64, crt__findnext64, crt__findnext32i64),
    CRT_BY_WORD(_wfindfirst, crt__wfindfirst64i32, crt__wfindfirst32),
    CRT_BY_WORD(_wfindfirsti64, crt__wfindfirst64, crt__wfindfirst32i64),
    CRT_BY_WORD(_wfindnext, crt__wfindnext64i32, crt__wfindnext32),
    CRT_BY_WORD(_wfindnexti64, crt__wfindnext64, crt__wfindnext32i64),
    CRT_FN(_findclose),
};
CRT_FAMILY(crt_dir_family, functions);
