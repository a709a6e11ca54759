/*
 * Drives and volumes. Both drives, C: and Z:, show the host's root directory, so every path lies on
 * a volume of the file system that holds it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"

enum { DRIVE_NO_ROOT_DIR = 1, DRIVE_FIXED = 3 };
enum {
    FILE_CASE_SENSITIVE_SEARCH = 0x1,
    FILE_CASE_PRESERVED_NAMES = 0x2,
    FILE_UNICODE_ON_DISK = 0x4,
    FILE_READ_ONLY_VOLUME = 0x80000,
    FILE_SUPPORTS_HARD_LINKS = 0x400000,
};

static BOOL volume_of(const WCHAR *root, struct statvfs *out)
{
    char *path = NULL;
    static const WCHAR here[] = {'.', 0};
    if (!win32_result(win32_host_path(root ? root : here, true, &path)))
        return FALSE;
    int failed = statvfs(path, out);
    free(path);
    return failed ? win32_fail_errno(errno) : TRUE;
}

static BOOL free_space_ex(const WCHAR *directory, uint64_t *available, uint64_t *total,
                          uint64_t *unused)
{
    struct statvfs fs;
    if (!volume_of(directory, &fs))
        return FALSE;
    if (available)
        *available = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (total)
        *total = (uint64_t)fs.f_blocks * fs.f_frsize;
    if (unused)
        *unused = (uint64_t)fs.f_bfree * fs.f_frsize;
    return TRUE;
}

static BOOL WINAPI_DEF k32_GetDiskFreeSpaceExW(const WCHAR *directory, uint64_t *available,
                                               uint64_t *total, uint64_t *unused)
{
    return free_space_ex(directory, available, total, unused);
}

static BOOL WINAPI_DEF k32_GetDiskFreeSpaceExA(const char *directory, uint64_t *available,
                                               uint64_t *total, uint64_t *unused)
{
    WCHAR *wide;
    BOOL ok = win32_widen_path(directory, &wide) && free_space_ex(wide, available, total, unused);
    free(wide);
    return ok;
}

static DWORD clamp(uint64_t value)
{
    return value > UINT32_MAX ? UINT32_MAX : (DWORD)value;
}

/* A cluster is a block of the host's file system, told in sectors of 512 bytes. */
static BOOL WINAPI_DEF k32_GetDiskFreeSpaceW(const WCHAR *root, DWORD *sectors, DWORD *bytes,
                                             DWORD *unused, DWORD *total)
{
    struct statvfs fs;
    if (!volume_of(root, &fs))
        return FALSE;
    if (sectors)
        *sectors = fs.f_frsize >= 512 ? (DWORD)(fs.f_frsize / 512) : 1;
    if (bytes)
        *bytes = 512;
    if (unused)
        *unused = clamp(fs.f_bavail);
    if (total)
        *total = clamp(fs.f_blocks);
    return TRUE;
}

static BOOL WINAPI_DEF k32_GetDiskFreeSpaceA(const char *root, DWORD *sectors, DWORD *bytes,
                                             DWORD *unused, DWORD *total)
{
    WCHAR *wide;
    BOOL ok =
        win32_widen_path(root, &wide) && k32_GetDiskFreeSpaceW(wide, sectors, bytes, unused, total);
    free(wide);
    return ok;
}

static DWORD WINAPI_DEF k32_GetLogicalDrives(void)
{
    return 1u << ('C' - 'A') | 1u << ('Z' - 'A');
}

static const char drive_strings[] = "C:\\\0Z:\\\0"; /* and the literal's own NUL */

static DWORD WINAPI_DEF k32_GetLogicalDriveStringsA(DWORD size, char *buffer)
{
    DWORD needed = sizeof(drive_strings);
    if (size < needed)
        return needed;
    memcpy(buffer, drive_strings, needed);
    return needed - 1;
}

static DWORD WINAPI_DEF k32_GetLogicalDriveStringsW(DWORD size, WCHAR *buffer)
{
    DWORD needed = sizeof(drive_strings);
    if (size < needed)
        return needed;
    for (DWORD i = 0; i < needed; i++)
        buffer[i] = (WCHAR)drive_strings[i];
    return needed - 1;
}

static UINT drive_type(WCHAR letter)
{
    WCHAR upper = letter & ~0x20;
    return upper == 'C' || upper == 'Z' ? DRIVE_FIXED : DRIVE_NO_ROOT_DIR;
}

static UINT WINAPI_DEF k32_GetDriveTypeW(const WCHAR *root)
{
    return root ? drive_type(root[0]) : DRIVE_FIXED;
}

static UINT WINAPI_DEF k32_GetDriveTypeA(const char *root)
{
    return root ? drive_type((WCHAR)root[0]) : DRIVE_FIXED;
}

/* ---- what a volume is like
 * ----------------------------------------------------------------------- */

struct volume_details {
    DWORD serial, longest_name, flags;
};

static struct volume_details details_of(const struct statvfs *fs)
{
    struct volume_details out = {
        .serial = (DWORD)fs->f_fsid,
        .longest_name = (DWORD)fs->f_namemax,
        .flags = FILE_CASE_SENSITIVE_SEARCH | FILE_CASE_PRESERVED_NAMES | FILE_UNICODE_ON_DISK |
                 FILE_SUPPORTS_HARD_LINKS,
    };
    if (fs->f_flag & ST_RDONLY)
        out.flags |= FILE_READ_ONLY_VOLUME;
    return out;
}

static BOOL return_details(const struct volume_details *details, DWORD *serial, DWORD *longest,
                           DWORD *flags)
{
    if (serial)
        *serial = details->serial;
    if (longest)
        *longest = details->longest_name;
    if (flags)
        *flags = details->flags;
    return TRUE;
}

/* Programs decide by the name what they may expect; NTFS is what comes nearest. No label. */
static BOOL return_names_w(WCHAR *label, DWORD label_size, WCHAR *system, DWORD system_size)
{
    static const WCHAR ntfs[] = {'N', 'T', 'F', 'S'};
    if ((system && win32_return_wide(ntfs, 4, system, system_size) > 4) ||
        (label && win32_return_wide(ntfs, 0, label, label_size) > 0))
        return win32_fail(ERROR_MORE_DATA);
    return TRUE;
}

static BOOL WINAPI_DEF k32_GetVolumeInformationW(const WCHAR *root, WCHAR *label, DWORD label_size,
                                                 DWORD *serial, DWORD *longest, DWORD *flags,
                                                 WCHAR *system, DWORD system_size)
{
    struct statvfs fs;
    if (!volume_of(root, &fs))
        return FALSE;
    struct volume_details details = details_of(&fs);
    return return_details(&details, serial, longest, flags) &&
           return_names_w(label, label_size, system, system_size);
}

static BOOL WINAPI_DEF k32_GetVolumeInformationA(const char *root, char *label, DWORD label_size,
                                                 DWORD *serial, DWORD *longest, DWORD *flags,
                                                 char *system, DWORD system_size)
{
    struct statvfs fs;
    WCHAR *wide;
    BOOL ok = win32_widen_path(root, &wide) && volume_of(wide, &fs);
    free(wide);
    if (!ok)
        return FALSE;
    struct volume_details details = details_of(&fs);
    return_details(&details, serial, longest, flags);
    if ((system && system_size < 5) || (label && !label_size))
        return win32_fail(ERROR_MORE_DATA);
    if (system)
        memcpy(system, "NTFS", 5);
    if (label)
        label[0] = 0;
    return TRUE;
}

static BOOL WINAPI_DEF k32_GetVolumeInformationByHandleW(HANDLE handle, WCHAR *label,
                                                         DWORD label_size, DWORD *serial,
                                                         DWORD *longest, DWORD *flags,
                                                         WCHAR *system, DWORD system_size)
{
    struct win32_file *file;
    struct statvfs fs;
    if (!win32_result(win32_file_get(handle, 0, &file)))
        return FALSE;
    int error = fstatvfs(file->fd, &fs) < 0 ? errno : 0;
    win32_file_put(file);
    if (error)
        return win32_fail_errno(error);
    struct volume_details details = details_of(&fs);
    return return_details(&details, serial, longest, flags) &&
           return_names_w(label, label_size, system, system_size);
}

/* Every volume is mounted somewhere below the drive's root, and the root is what has a drive
 * letter. */
static BOOL WINAPI_DEF k32_GetVolumePathNameW(const WCHAR *name, WCHAR *buffer, DWORD size)
{
    WCHAR *full = name && name[0] ? win32_full_path(name) : NULL;
    if (!full)
        return win32_fail(name && name[0] ? ERROR_NOT_ENOUGH_MEMORY : ERROR_INVALID_PARAMETER);
    bool drive = full[0] && full[1] == ':';
    uint32_t error = drive ? ERROR_SUCCESS : ERROR_INVALID_NAME;
    if (drive && win32_return_wide(full, 3, buffer, size) > 3)
        error = ERROR_FILENAME_EXCED_RANGE;
    free(full);
    return error ? win32_fail(error) : TRUE;
}

const struct ldr_builtin_export kernel32_volume_exports[] = {
    LDR_FN(k32_, GetDiskFreeSpaceA),       LDR_FN(k32_, GetDiskFreeSpaceW),
    LDR_FN(k32_, GetDiskFreeSpaceExA),     LDR_FN(k32_, GetDiskFreeSpaceExW),
    LDR_FN(k32_, GetLogicalDrives),        LDR_FN(k32_, GetLogicalDriveStringsA),
    LDR_FN(k32_, GetLogicalDriveStringsW), LDR_FN(k32_, GetDriveTypeA),
    LDR_FN(k32_, GetDriveTypeW),           LDR_FN(k32_, GetVolumeInformationA),
    LDR_FN(k32_, GetVolumeInformationW),   LDR_FN(k32_, GetVolumeInformationByHandleW),
    LDR_FN(k32_, GetVolumePathNameW),
};
const size_t kernel32_volume_count =
    sizeof(kernel32_volume_exports) / sizeof(*kernel32_volume_exports);
