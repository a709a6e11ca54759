/*
 * Directory searches: FindFirstFile and its relatives.
 *
 * The directory is read once, when the search opens; names come in NTFS's order (by upper case).
 * Wildcards follow the documented rules of Win32: "*.*" is everything, "*." what has no extension.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/win32/codepage.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"

struct find_data {
    DWORD dwFileAttributes;
    FILETIME ftCreationTime, ftLastAccessTime, ftLastWriteTime;
    DWORD nFileSizeHigh, nFileSizeLow;
    DWORD dwReserved0, dwReserved1;
    WCHAR cFileName[MAX_PATH];
    WCHAR cAlternateFileName[14];
};

struct find_data_a {
    DWORD common[11]; /* all up to dwReserved1 */
    char cFileName[MAX_PATH];
    char cAlternateFileName[14];
};

_Static_assert(offsetof(struct find_data, cFileName) == sizeof(DWORD[11]), "layout of the A twin");

struct search {
    struct ob_object object;
    char *directory; /* host path */
    WCHAR **names;
    char **host_names;
    size_t count, next;
};

static void destroy_search(struct ob_object *object)
{
    struct search *search = (struct search *)object;
    for (size_t i = 0; i < search->count; i++) {
        free(search->names[i]);
        free(search->host_names[i]);
    }
    free(search->names);
    free(search->host_names);
    free(search->directory);
}

static const struct ob_type search_type = {.name = "FileSearch", .destroy = destroy_search};

/* ---- wildcards ------------------------------------------------------------------------------- */

static bool match(const WCHAR *pattern, const WCHAR *name)
{
    const WCHAR *star = NULL, *resume = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            resume = name;
        } else if (*pattern == '?' || win32_upper(*pattern) == win32_upper(*name)) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*' || *pattern == '?')
        pattern++;
    return !*pattern;
}

static bool has_extension(const WCHAR *name)
{
    bool dots = name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
    return !dots && win32_wchr(name, '.');
}

/* Matches the first `length` characters of a pattern. */
static bool match_start(const WCHAR *pattern, size_t length, const WCHAR *name)
{
    WCHAR start[MAX_PATH];
    if (length >= MAX_PATH)
        return false;
    memcpy(start, pattern, length * sizeof(WCHAR));
    start[length] = 0;
    return match(start, name);
}

static bool matches(const WCHAR *pattern, const WCHAR *name)
{
    size_t length = win32_wlen(pattern);
    WCHAR last = length >= 2 ? pattern[length - 1] : 0, before = last ? pattern[length - 2] : 0;
    /* "x*." is a name without extension; "x.*" also matches "x", whose extension is empty. */
    if (before == '*' && last == '.')
        return !has_extension(name) && match_start(pattern, length - 1, name);
    if (before == '.' && last == '*' && !has_extension(name) &&
        match_start(pattern, length - 2, name))
        return true;
    return match(pattern, name);
}

/* ---- reading the directory ---------------------------------------------------------------------
 */

struct entry {
    WCHAR *name;
    char *host_name;
};

static int compare_entries(const void *a, const void *b)
{
    return win32_wicmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static bool add_entry(struct entry **entries, size_t *count, const char *host, WCHAR *name)
{
    struct entry *grown = realloc(*entries, (*count + 1) * sizeof(**entries));
    if (!grown)
        return false;
    *entries = grown;
    grown[*count].name = name;
    grown[*count].host_name = strdup(host);
    return grown[(*count)++].host_name != NULL;
}

static nt_status read_directory(struct search *search, const WCHAR *pattern, bool is_root)
{
    struct entry *entries = NULL;
    size_t count = 0;
    bool ok = true;
    DIR *dir = opendir(search->directory);
    if (!dir)
        return errno == ENOTDIR ? (nt_status)STATUS_OBJECT_PATH_NOT_FOUND
                                : win32_status_of_errno(errno);
    for (struct dirent *item = readdir(dir); item && ok; item = readdir(dir)) {
        bool dots = !strcmp(item->d_name, ".") || !strcmp(item->d_name, "..");
        WCHAR *name = dots && is_root ? NULL : win32_wide_of_utf8(item->d_name);
        /* Longer names do not fit WIN32_FIND_DATA. */
        if (name && win32_wlen(name) < MAX_PATH && matches(pattern, name))
            ok = add_entry(&entries, &count, item->d_name, name);
        else
            free(name);
    }
    closedir(dir);
    if (count)
        qsort(entries, count, sizeof(*entries), compare_entries);
    search->names = calloc(count + 1, sizeof(*search->names));
    search->host_names = calloc(count + 1, sizeof(*search->host_names));
    ok = ok && search->names && search->host_names;
    for (size_t i = 0; i < count && ok; i++) {
        search->names[i] = entries[i].name;
        search->host_names[i] = entries[i].host_name;
        search->count++;
    }
    for (size_t i = search->count; i < count; i++) {
        free(entries[i].name);
        free(entries[i].host_name);
    }
    free(entries);
    return ok ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
}

/* Fills in the next entry that still exists; false at the end. */
static bool next_entry(struct search *search, struct find_data *out)
{
    while (search->next < search->count) {
        char path[PATH_MAX];
        struct win32_file_info info;
        size_t i = search->next++;
        int length =
            snprintf(path, sizeof(path), "%s/%s", search->directory, search->host_names[i]);
        if (length >= (int)sizeof(path) || !nt_ok(win32_file_info(-1, path, &info)))
            continue;
        memset(out, 0, sizeof(*out));
        out->dwFileAttributes = info.attributes;
        out->ftCreationTime = win32_filetime(info.creation);
        out->ftLastAccessTime = win32_filetime(info.access);
        out->ftLastWriteTime = win32_filetime(info.write);
        out->nFileSizeHigh = (DWORD)(info.size >> 32);
        out->nFileSizeLow = (DWORD)info.size;
        memcpy(out->cFileName, search->names[i],
               (win32_wlen(search->names[i]) + 1) * sizeof(WCHAR));
        return true;
    }
    return false;
}

/* Splits "dir\pattern"; the directory half keeps its "\". */
static nt_status open_search(WCHAR *full, struct search **out)
{
    size_t split = win32_wlen(full);
    while (split && full[split - 1] != '\\')
        split--;
    WCHAR *pattern = win32_wdup(full + split, SIZE_MAX);
    struct search *search = ob_object_create(&search_type, sizeof(*search));
    nt_status status = pattern && search ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
    full[split] = 0;
    if (nt_ok(status) && !pattern[0])
        status = (nt_status)STATUS_OBJECT_NAME_NOT_FOUND;
    if (nt_ok(status)) {
        status = win32_host_path(full, true, &search->directory);
        /* A directory that is not there is a path that is not. */
        if (status == (nt_status)STATUS_OBJECT_NAME_NOT_FOUND)
            status = (nt_status)STATUS_OBJECT_PATH_NOT_FOUND;
    }
    if (nt_ok(status))
        status = read_directory(search, pattern, split <= 3);
    free(pattern);
    if (nt_ok(status))
        *out = search;
    else if (search)
        ob_object_unref(&search->object);
    return status;
}

/* ---- exports ------------------------------------------------------------------------------------
 */

/* Wildcards are no part of the path grammar: a name made full keeps its last component as it is. */
static WCHAR *full_pattern(const WCHAR *name)
{
    size_t length = win32_wlen(name);
    WCHAR *full = win32_full_path(name);
    /* A pattern's trailing dot means something. */
    if (full && length >= 2 && name[length - 1] == '.' && name[length - 2] == '*') {
        size_t n = win32_wlen(full);
        WCHAR *longer = realloc(full, (n + 2) * sizeof(WCHAR));
        if (longer) {
            longer[n] = '.';
            longer[n + 1] = 0;
            full = longer;
        }
    }
    return full;
}

static HANDLE find_first(const WCHAR *name, struct find_data *out)
{
    struct search *search = NULL;
    if (!name || !name[0]) {
        win32_fail(ERROR_PATH_NOT_FOUND);
        return INVALID_HANDLE_VALUE;
    }
    WCHAR *full = full_pattern(name);
    nt_status status = full ? open_search(full, &search) : (nt_status)STATUS_NO_MEMORY;
    free(full);
    if (!win32_result(status))
        return INVALID_HANDLE_VALUE;
    HANDLE handle = INVALID_HANDLE_VALUE;
    if (!next_entry(search, out)) {
        win32_fail(ERROR_FILE_NOT_FOUND);
    } else {
        uint32_t raw = ob_handle_create(&search->object, 0, 0);
        if (raw)
            handle = win32_handle(raw);
        else
            win32_fail(ERROR_NOT_ENOUGH_MEMORY);
    }
    ob_object_unref(&search->object);
    return handle;
}

static HANDLE WINAPI_DEF k32_FindFirstFileW(const WCHAR *name, struct find_data *out)
{
    return find_first(name, out);
}

/* Information levels 0 and 1 (without short names, which there are none of); both search kinds. */
static HANDLE WINAPI_DEF k32_FindFirstFileExW(const WCHAR *name, DWORD level, struct find_data *out,
                                              DWORD operation, void *filter, DWORD flags)
{
    if (level > 1 || operation > 1 || filter) {
        win32_fail(operation == 2 ? ERROR_NOT_SUPPORTED : ERROR_INVALID_PARAMETER);
        return INVALID_HANDLE_VALUE;
    }
    return find_first(name, out);
}

static BOOL WINAPI_DEF k32_FindNextFileW(HANDLE handle, struct find_data *out)
{
    struct ob_object *object;
    nt_status status = ob_handle_get(win32_ob_handle(handle), &search_type, &object, NULL);
    if (!nt_ok(status))
        return win32_fail(ERROR_INVALID_HANDLE);
    bool found = next_entry((struct search *)object, out);
    ob_object_unref(object);
    return found || win32_fail(ERROR_NO_MORE_FILES);
}

static BOOL WINAPI_DEF k32_FindClose(HANDLE handle)
{
    struct ob_object *object;
    nt_status status = ob_handle_get(win32_ob_handle(handle), &search_type, &object, NULL);
    if (!nt_ok(status))
        return win32_fail(ERROR_INVALID_HANDLE);
    ob_object_unref(object);
    return win32_result(ob_handle_close(win32_ob_handle(handle)));
}

static void narrow_data(const struct find_data *in, struct find_data_a *out)
{
    memcpy(out->common, in, sizeof(out->common));
    win32_return_path(in->cFileName, win32_wlen(in->cFileName), out->cFileName, MAX_PATH);
    out->cAlternateFileName[0] = 0;
}

static HANDLE find_first_a(const char *name, struct find_data_a *out)
{
    WCHAR *wide;
    struct find_data data;
    HANDLE handle = INVALID_HANDLE_VALUE;
    if (win32_widen_path(name, &wide))
        handle = find_first(wide, &data);
    free(wide);
    if (handle != INVALID_HANDLE_VALUE)
        narrow_data(&data, out);
    return handle;
}

static HANDLE WINAPI_DEF k32_FindFirstFileA(const char *name, struct find_data_a *out)
{
    return find_first_a(name, out);
}

static HANDLE WINAPI_DEF k32_FindFirstFileExA(const char *name, DWORD level,
                                              struct find_data_a *out, DWORD operation,
                                              void *filter, DWORD flags)
{
    if (level > 1 || operation > 1 || filter) {
        win32_fail(operation == 2 ? ERROR_NOT_SUPPORTED : ERROR_INVALID_PARAMETER);
        return INVALID_HANDLE_VALUE;
    }
    return find_first_a(name, out);
}

static BOOL WINAPI_DEF k32_FindNextFileA(HANDLE handle, struct find_data_a *out)
{
    struct find_data data;
    if (!k32_FindNextFileW(handle, &data))
        return FALSE;
    narrow_data(&data, out);
    return TRUE;
}

/* A file system without streams says so: ERROR_HANDLE_EOF, "no streams" (documentation). */
static HANDLE WINAPI_DEF k32_FindFirstStreamW(const WCHAR *name, DWORD level, void *out,
                                              DWORD flags)
{
    char *path = NULL;
    if (level || flags)
        win32_fail(ERROR_INVALID_PARAMETER);
    else if (win32_result(win32_host_path(name, true, &path)))
        win32_fail(ERROR_HANDLE_EOF);
    free(path);
    return INVALID_HANDLE_VALUE;
}

static BOOL WINAPI_DEF k32_FindNextStreamW(HANDLE handle, void *out)
{
    return win32_fail(ERROR_INVALID_HANDLE);
}

const struct ldr_builtin_export kernel32_find_exports[] = {
    LDR_FN(k32_, FindFirstFileA),   LDR_FN(k32_, FindFirstFileW),   LDR_FN(k32_, FindFirstFileExA),
    LDR_FN(k32_, FindFirstFileExW), LDR_FN(k32_, FindNextFileA),    LDR_FN(k32_, FindNextFileW),
    LDR_FN(k32_, FindClose),        LDR_FN(k32_, FindFirstStreamW), LDR_FN(k32_, FindNextStreamW),
};
const size_t kernel32_find_count = sizeof(kernel32_find_exports) / sizeof(*kernel32_find_exports);
