/*
 * Attributes, times and identity of files, by name and by handle.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ldr/path.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"

#define INVALID_FILE_ATTRIBUTES 0xFFFFFFFFu

static nt_status info_by_name(const WCHAR *name, struct win32_file_info *info)
{
    char *path;
    nt_status status =
        name ? win32_host_path(name, true, &path) : (nt_status)STATUS_OBJECT_PATH_NOT_FOUND;
    if (!nt_ok(status))
        return status;
    status = win32_file_info(-1, path, info);
    free(path);
    return status;
}

static DWORD WINAPI_DEF k32_GetFileAttributesW(const WCHAR *name)
{
    struct win32_file_info info;
    return win32_result(info_by_name(name, &info)) ? info.attributes : INVALID_FILE_ATTRIBUTES;
}

static DWORD WINAPI_DEF k32_GetFileAttributesA(const char *name)
{
    WCHAR *wide;
    DWORD attributes = INVALID_FILE_ATTRIBUTES;
    if (win32_widen_path(name, &wide))
        attributes = k32_GetFileAttributesW(wide);
    free(wide);
    return attributes;
}

struct attribute_data {
    DWORD dwFileAttributes;
    FILETIME ftCreationTime, ftLastAccessTime, ftLastWriteTime;
    DWORD nFileSizeHigh, nFileSizeLow;
};

static BOOL WINAPI_DEF k32_GetFileAttributesExW(const WCHAR *name, DWORD level,
                                                struct attribute_data *out)
{
    struct win32_file_info info;
    if (level != 0 || !out)
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (!win32_result(info_by_name(name, &info)))
        return FALSE;
    out->dwFileAttributes = info.attributes;
    out->ftCreationTime = win32_filetime(info.creation);
    out->ftLastAccessTime = win32_filetime(info.access);
    out->ftLastWriteTime = win32_filetime(info.write);
    out->nFileSizeHigh = (DWORD)(info.size >> 32);
    out->nFileSizeLow = (DWORD)info.size;
    return TRUE;
}

static BOOL WINAPI_DEF k32_GetFileAttributesExA(const char *name, DWORD level,
                                                struct attribute_data *out)
{
    WCHAR *wide;
    BOOL ok = win32_widen_path(name, &wide) && k32_GetFileAttributesExW(wide, level, out);
    free(wide);
    return ok;
}

/* The read-only attribute is the absence of write permission; the others have no home here. */
static nt_status set_read_only(int dir, const char *path, bool read_only)
{
    struct stat st;
    if (fstatat(dir, path, &st, 0) < 0)
        return win32_status_of_errno(errno);
    if (S_ISDIR(st.st_mode))
        return STATUS_SUCCESS;
    mode_t mask = umask(0);
    umask(mask);
    mode_t mode = read_only ? st.st_mode & ~(mode_t)0222 : st.st_mode | (0222 & ~mask);
    if (mode != st.st_mode && fchmodat(dir, path, mode & 07777, 0) < 0)
        return win32_status_of_errno(errno);
    return STATUS_SUCCESS;
}

static BOOL WINAPI_DEF k32_SetFileAttributesW(const WCHAR *name, DWORD attributes)
{
    char *path;
    nt_status status =
        name ? win32_host_path(name, true, &path) : (nt_status)STATUS_OBJECT_PATH_NOT_FOUND;
    if (nt_ok(status)) {
        status = set_read_only(AT_FDCWD, path, attributes & FILE_ATTRIBUTE_READONLY);
        free(path);
    }
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_SetFileAttributesA(const char *name, DWORD attributes)
{
    WCHAR *wide;
    BOOL ok = win32_widen_path(name, &wide) && k32_SetFileAttributesW(wide, attributes);
    free(wide);
    return ok;
}

/* ---- by handle
 * ----------------------------------------------------------------------------------- */

struct by_handle_information {
    DWORD dwFileAttributes;
    FILETIME ftCreationTime, ftLastAccessTime, ftLastWriteTime;
    DWORD dwVolumeSerialNumber, nFileSizeHigh, nFileSizeLow, nNumberOfLinks;
    DWORD nFileIndexHigh, nFileIndexLow;
};

static nt_status info_by_handle(HANDLE handle, struct win32_file_info *info)
{
    struct win32_file *file;
    nt_status status = win32_file_get(handle, 0, &file);
    if (!nt_ok(status))
        return status;
    status = file->type == FILE_TYPE_DISK ? win32_file_info(file->fd, NULL, info)
                                          : (nt_status)STATUS_INVALID_DEVICE_REQUEST;
    info->deleted = nt_ok(status) && win32_file_is_deleted(file);
    win32_file_put(file);
    return status;
}

static BOOL WINAPI_DEF k32_GetFileInformationByHandle(HANDLE handle,
                                                      struct by_handle_information *out)
{
    struct win32_file_info info;
    if (!win32_result(info_by_handle(handle, &info)))
        return FALSE;
    out->dwFileAttributes = info.attributes;
    out->ftCreationTime = win32_filetime(info.creation);
    out->ftLastAccessTime = win32_filetime(info.access);
    out->ftLastWriteTime = win32_filetime(info.write);
    out->dwVolumeSerialNumber = (DWORD)info.dev;
    out->nFileSizeHigh = (DWORD)(info.size >> 32);
    out->nFileSizeLow = (DWORD)info.size;
    out->nNumberOfLinks = info.links;
    out->nFileIndexHigh = (DWORD)(info.ino >> 32);
    out->nFileIndexLow = (DWORD)info.ino;
    return TRUE;
}

enum {
    FILE_BASIC_INFO_CLASS = 0,
    FILE_STANDARD_INFO_CLASS = 1,
    FILE_NAME_INFO_CLASS = 2,
    FILE_RENAME_INFO_CLASS = 3,
    FILE_DISPOSITION_INFO_CLASS = 4,
    FILE_ALLOCATION_INFO_CLASS = 5,
    FILE_END_OF_FILE_INFO_CLASS = 6,
    FILE_ATTRIBUTE_TAG_INFO_CLASS = 9,
    FILE_ID_INFO_CLASS = 18,
    FILE_DISPOSITION_INFO_EX_CLASS = 21,
    FILE_RENAME_INFO_EX_CLASS = 22,
};

/* Times of FILE_BASIC_INFO are LARGE_INTEGERs: 8-byte aligned in both word sizes. */
struct basic_info {
    int64_t creation, access, write, change;
    DWORD attributes;
} __attribute__((aligned(8)));

struct standard_info {
    int64_t allocation, end_of_file;
    DWORD links;
    BOOLEAN delete_pending, directory;
} __attribute__((aligned(8)));

struct name_info {
    DWORD length; /* bytes */
    WCHAR name[];
};

struct id_info {
    uint64_t volume;
    uint64_t id[2];
};

/* The path as FileNameInfo gives it: from the root of the volume, no drive. */
static nt_status name_by_handle(HANDLE handle, struct name_info *out, DWORD size)
{
    struct win32_file *file;
    nt_status status = win32_file_get(handle, 0, &file);
    if (!nt_ok(status))
        return status;
    /* Other than for files on disk Windows has names like "\Device\...", which we do not. */
    WCHAR *path =
        file->path && file->type == FILE_TYPE_DISK ? win32_windows_path(file->path) : NULL;
    win32_file_put(file);
    if (!path)
        return (nt_status)STATUS_INVALID_PARAMETER;
    const WCHAR *name = win32_wchr(path, '\\');
    size_t bytes = win32_wlen(name) * sizeof(WCHAR);
    size_t room = size - offsetof(struct name_info, name);
    out->length = (DWORD)bytes;
    memcpy(out->name, name, bytes < room ? bytes : room);
    free(path);
    return bytes <= room ? STATUS_SUCCESS : (nt_status)STATUS_BUFFER_OVERFLOW;
}

static void fill_class(DWORD info_class, const struct win32_file_info *info, void *out)
{
    struct basic_info *basic = out;
    struct standard_info *standard = out;
    struct id_info *id = out;
    DWORD *tag = out;
    switch (info_class) {
    case FILE_BASIC_INFO_CLASS:
        basic->creation = info->creation;
        basic->access = info->access;
        basic->write = info->write;
        basic->change = info->change;
        basic->attributes = info->attributes;
        break;
    case FILE_STANDARD_INFO_CLASS:
        standard->allocation = (int64_t)info->allocation;
        standard->end_of_file = (int64_t)info->size;
        standard->links = info->links;
        standard->delete_pending = info->deleted;
        standard->directory = info->directory;
        break;
    case FILE_ATTRIBUTE_TAG_INFO_CLASS:
        tag[0] = info->attributes;
        tag[1] = 0;
        break;
    default:
        id->volume = info->dev;
        id->id[0] = info->ino;
        id->id[1] = 0;
        break;
    }
}

static BOOL WINAPI_DEF k32_GetFileInformationByHandleEx(HANDLE handle, DWORD info_class, void *out,
                                                        DWORD size)
{
    static const uint8_t sizes[FILE_ID_INFO_CLASS + 1] = {
        [FILE_BASIC_INFO_CLASS] = sizeof(struct basic_info),
        [FILE_STANDARD_INFO_CLASS] = sizeof(struct standard_info),
        [FILE_NAME_INFO_CLASS] = sizeof(struct name_info) + sizeof(DWORD),
        [FILE_ATTRIBUTE_TAG_INFO_CLASS] = 2 * sizeof(DWORD),
        [FILE_ID_INFO_CLASS] = sizeof(struct id_info),
    };
    struct win32_file_info info;
    if (info_class > FILE_ID_INFO_CLASS || !sizes[info_class])
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (size < sizes[info_class])
        return win32_fail(24); /* ERROR_BAD_LENGTH */
    if (info_class == FILE_NAME_INFO_CLASS) {
        nt_status status = name_by_handle(handle, out, size);
        if (status == (nt_status)STATUS_BUFFER_OVERFLOW)
            return win32_fail(ERROR_MORE_DATA);
        return win32_result(status);
    }
    if (!win32_result(info_by_handle(handle, &info)))
        return FALSE;
    fill_class(info_class, &info, out);
    return TRUE;
}

/* 0 leaves a time as it is; -1 too (it also stops later updates, which we cannot). */
static struct timespec time_to_set(int64_t ticks)
{
    struct timespec omit = {.tv_nsec = UTIME_OMIT};
    return ticks == 0 || ticks == -1 ? omit : win32_timespec(ticks);
}

static nt_status set_times(struct win32_file *file, int64_t access, int64_t write)
{
    char self[40];
    struct timespec times[2] = {time_to_set(access), time_to_set(write)};
    /* By /proc, because the descriptor may be O_PATH. */
    snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
    return utimensat(AT_FDCWD, self, times, 0) < 0 ? win32_status_of_errno(errno) : STATUS_SUCCESS;
}

static int64_t ticks_of(const FILETIME *time)
{
    return time ? win32_filetime_ticks(time) : 0;
}

/* The creation time cannot be set on Linux; a request for it is passed over. */
static BOOL WINAPI_DEF k32_SetFileTime(HANDLE handle, const FILETIME *creation,
                                       const FILETIME *access, const FILETIME *write)
{
    struct win32_file *file;
    nt_status status = win32_file_get(handle, FILE_WRITE_ATTRIBUTES, &file);
    if (nt_ok(status)) {
        status = set_times(file, ticks_of(access), ticks_of(write));
        win32_file_put(file);
    }
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_GetFileTime(HANDLE handle, FILETIME *creation, FILETIME *access,
                                       FILETIME *write)
{
    struct win32_file_info info;
    if (!win32_result(info_by_handle(handle, &info)))
        return FALSE;
    if (creation)
        *creation = win32_filetime(info.creation);
    if (access)
        *access = win32_filetime(info.access);
    if (write)
        *write = win32_filetime(info.write);
    return TRUE;
}

static nt_status set_basic(struct win32_file *file, const struct basic_info *info)
{
    char self[40];
    nt_status status = set_times(file, info->access, info->write);
    snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
    if (nt_ok(status) && info->attributes)
        status = set_read_only(AT_FDCWD, self, info->attributes & FILE_ATTRIBUTE_READONLY);
    return status;
}

struct rename_info {
    uint32_t replace; /* BOOLEAN, or flags in the Ex class */
    HANDLE root;
    DWORD length; /* bytes */
    WCHAR name[];
};

static nt_status rename_open(struct win32_file *file, const struct rename_info *info, DWORD size)
{
    char *target;
    bool fits = info->length <= size - offsetof(struct rename_info, name);
    if (!file->path || info->root || !fits || !info->length || info->length % sizeof(WCHAR))
        return (nt_status)STATUS_INVALID_PARAMETER;
    WCHAR *name = win32_wdup(info->name, info->length / sizeof(WCHAR));
    nt_status status = name ? win32_host_path(name, false, &target) : (nt_status)STATUS_NO_MEMORY;
    free(name);
    if (!nt_ok(status))
        return status;
    status = win32_file_rename_open(file, target, info->replace & 1);
    free(target);
    return status;
}

static nt_status set_class(struct win32_file *file, DWORD info_class, const void *data, DWORD size)
{
    struct win32_file_info info;
    nt_status status;
    switch (info_class) {
    case FILE_BASIC_INFO_CLASS:
        return set_basic(file, data);
    case FILE_RENAME_INFO_CLASS:
    case FILE_RENAME_INFO_EX_CLASS:
        return rename_open(file, data, size);
    case FILE_DISPOSITION_INFO_CLASS:
        return win32_file_set_deleted(file, *(const BOOLEAN *)data);
    case FILE_DISPOSITION_INFO_EX_CLASS: /* bit 0: delete; the others say how, which is one way here
                                          */
        return win32_file_set_deleted(file, *(const DWORD *)data & 1);
    case FILE_ALLOCATION_INFO_CLASS:
        /* Allocation beyond the end is a hint; below it, the file is cut. */
        status = win32_file_info(file->fd, NULL, &info);
        if (!nt_ok(status) || (int64_t)info.size <= *(const int64_t *)data)
            return status;
        /* fallthrough */
    case FILE_END_OF_FILE_INFO_CLASS:
        return win32_file_set_size(file, *(const int64_t *)data);
    default:
        return (nt_status)STATUS_INVALID_PARAMETER;
    }
}

static BOOL WINAPI_DEF k32_SetFileInformationByHandle(HANDLE handle, DWORD info_class,
                                                      const void *data, DWORD size)
{
    static const struct {
        uint32_t size, access;
    } classes[] = {
        [FILE_BASIC_INFO_CLASS] = {sizeof(struct basic_info), FILE_WRITE_ATTRIBUTES},
        [FILE_RENAME_INFO_CLASS] = {sizeof(struct rename_info), FILE_DELETE},
        [FILE_DISPOSITION_INFO_CLASS] = {1, FILE_DELETE},
        [FILE_ALLOCATION_INFO_CLASS] = {8, FILE_WRITE_DATA},
        [FILE_END_OF_FILE_INFO_CLASS] = {8, FILE_WRITE_DATA},
        [FILE_DISPOSITION_INFO_EX_CLASS] = {sizeof(DWORD), FILE_DELETE},
        [FILE_RENAME_INFO_EX_CLASS] = {sizeof(struct rename_info), FILE_DELETE},
    };
    struct win32_file *file;
    if (info_class >= sizeof(classes) / sizeof(*classes) || !classes[info_class].size)
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (!data || size < classes[info_class].size)
        return win32_fail(24); /* ERROR_BAD_LENGTH */
    nt_status status = win32_file_get(handle, classes[info_class].access, &file);
    if (nt_ok(status)) {
        status = set_class(file, info_class, data, size);
        win32_file_put(file);
    }
    return win32_result(status);
}

static DWORD WINAPI_DEF k32_GetFinalPathNameByHandleW(HANDLE handle, WCHAR *buffer, DWORD size,
                                                      DWORD flags)
{
    static const WCHAR prefix[] = {'\\', '\\', '?', '\\'};
    struct win32_file *file;
    if (!win32_result(win32_file_get(handle, 0, &file)))
        return 0;
    char *real = file->path ? realpath(file->path, NULL) : NULL;
    win32_file_put(file);
    WCHAR *path = real ? win32_windows_path(real) : NULL;
    free(real);
    if (!path)
        return (DWORD)win32_fail(ERROR_PATH_NOT_FOUND);
    if (flags & 0x7 & ~4u) { /* volume GUIDs and NT device names do not exist here */
        free(path);
        return (DWORD)win32_fail(ERROR_PATH_NOT_FOUND);
    }
    size_t length = win32_wlen(path);
    WCHAR *whole = malloc((length + 5) * sizeof(WCHAR));
    DWORD result = 0;
    if (whole && (flags & 4)) { /* VOLUME_NAME_NONE */
        result = win32_return_wide(path + 2, length - 2, buffer, size);
    } else if (whole) {
        memcpy(whole, prefix, sizeof(prefix));
        memcpy(whole + 4, path, (length + 1) * sizeof(WCHAR));
        result = win32_return_wide(whole, length + 4, buffer, size);
    }
    free(whole);
    free(path);
    return result;
}

static DWORD WINAPI_DEF k32_GetFinalPathNameByHandleA(HANDLE handle, char *buffer, DWORD size,
                                                      DWORD flags)
{
    WCHAR wide[PATH_MAX];
    DWORD length = k32_GetFinalPathNameByHandleW(handle, wide, PATH_MAX, flags);
    if (length >= PATH_MAX)
        return (DWORD)win32_fail(ERROR_FILENAME_EXCED_RANGE);
    return length ? win32_return_path(wide, length, buffer, size) : 0;
}

/* Nothing here is compressed: the space a file takes on the disk. */
static DWORD WINAPI_DEF k32_GetCompressedFileSizeW(const WCHAR *name, DWORD *high)
{
    struct win32_file_info info;
    if (!win32_result(info_by_name(name, &info)))
        return 0xFFFFFFFF; /* INVALID_FILE_SIZE */
    if (high)
        *high = (DWORD)(info.allocation >> 32);
    if ((DWORD)info.allocation == 0xFFFFFFFF)
        ke_set_last_error(ERROR_SUCCESS);
    return (DWORD)info.allocation;
}

const struct ldr_builtin_export kernel32_fileinfo_exports[] = {
    LDR_FN(k32_, GetFileAttributesA),
    LDR_FN(k32_, GetFileAttributesW),
    LDR_FN(k32_, GetFileAttributesExA),
    LDR_FN(k32_, GetFileAttributesExW),
    LDR_FN(k32_, SetFileAttributesA),
    LDR_FN(k32_, SetFileAttributesW),
    LDR_FN(k32_, GetFileInformationByHandle),
    LDR_FN(k32_, GetFileInformationByHandleEx),
    LDR_FN(k32_, SetFileInformationByHandle),
    LDR_FN(k32_, GetFileTime),
    LDR_FN(k32_, SetFileTime),
    LDR_FN(k32_, GetFinalPathNameByHandleA),
    LDR_FN(k32_, GetFinalPathNameByHandleW),
    LDR_FN(k32_, GetCompressedFileSizeW),
};
const size_t kernel32_fileinfo_count =
    sizeof(kernel32_fileinfo_exports) / sizeof(*kernel32_fileinfo_exports);
