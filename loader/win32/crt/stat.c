/*
 * _stat and _fstat in their four layouts (32- or 64-bit time, 32- or 64-bit size), and _utime.
 *
 * Layouts are written by offset, because gcc aligns 64-bit members differently on i386.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "loader/win32/crt/fd.h"
#include "loader/win32/crt/path.h"
#include "loader/win32/filename.h"

struct layout {
    uint8_t size_at, size_bytes, time_at, time_bytes;
    uint8_t total;
};
static const struct layout layout_32 = {20, 4, 24, 4, 36};
static const struct layout layout_32i64 = {24, 8, 32, 4, 48};
static const struct layout layout_64i32 = {20, 4, 24, 8, 48};
static const struct layout layout_64 = {24, 8, 32, 8, 56};

static void put(void *out, size_t at, uint64_t value, size_t bytes)
{
    memcpy((char *)out + at, &value, bytes);
}

static bool is_program(const char *host)
{
    static const char *const extensions[] = {".exe", ".com", ".cmd", ".bat"};
    const char *dot = host != NULL ? strrchr(host, '.') : NULL;
    for (size_t i = 0; dot != NULL && i < CRT_COUNT(extensions); i++) {
        if (strcasecmp(dot, extensions[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* _S_IFDIR and its like are Linux's values; execution means "a directory or a program". */
static unsigned mode_of(const struct stat *st, const char *host)
{
    unsigned mode = 0444;
    mode |= st->st_mode & 0222 || S_ISDIR(st->st_mode) ? 0222 : 0;
    mode |= S_ISDIR(st->st_mode) || is_program(host) ? 0111 : 0;
    return mode | (S_ISDIR(st->st_mode)    ? 0x4000
                   : S_ISCHR(st->st_mode)  ? 0x2000
                   : S_ISFIFO(st->st_mode) ? 0x1000
                   : S_ISSOCK(st->st_mode) ? 0x1000
                                           : 0x8000);
}

static void fill(void *out, const struct layout *layout, const struct stat *st, const char *host,
                 unsigned device)
{
    const int64_t times[] = {st->st_atime, st->st_mtime, st->st_ctime};
    memset(out, 0, layout->total);
    put(out, 0, device, 4);
    put(out, 6, mode_of(st, host), 2);
    put(out, 8, S_ISDIR(st->st_mode) ? 1 : st->st_nlink, 2);
    put(out, 16, device, 4);
    put(out, layout->size_at, S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size, layout->size_bytes);
    for (size_t i = 0; i < 3; i++) {
        put(out, layout->time_at + i * layout->time_bytes, (uint64_t)times[i], layout->time_bytes);
    }
}

static int stat_path(const crt_wchar *path, void *out, const struct layout *layout)
{
    struct stat st;
    char *host = out != NULL ? crt_path_host(path, true) : NULL;
    if (out == NULL) {
        crt_invalid(CRT_EINVAL);
    }
    if (host == NULL) {
        return -1;
    }
    int result = stat(host, &st);
    if (result == 0) {
        crt_wchar *full = win32_full_path(path);
        bool drive = full != NULL && full[0] != 0 && full[1] == ':';
        fill(out, layout, &st, host, drive ? (unsigned)crt_upper(full[0]) - 'A' : 0);
        free(full);
    } else {
        crt_fail_from_host();
    }
    free(host);
    return result;
}

static int stat_narrow(const char *path, void *out, const struct layout *layout)
{
    crt_wchar *wide = crt_path_widen(path);
    int result = wide != NULL ? stat_path(wide, out, layout) : -1;
    free(wide);
    return result;
}

static int stat_descriptor(int fd, void *out, const struct layout *layout)
{
    struct stat st;
    int host = crt_fd_host(fd);
    if (host < 0 || out == NULL) {
        return -1;
    }
    if (fstat(host, &st) != 0) {
        return crt_fail_from_host();
    }
    fill(out, layout, &st, NULL, S_ISREG(st.st_mode) ? 0 : (unsigned)fd);
    return 0;
}

#define STAT_FUNCTIONS(suffix, layout)                                           \
    static WINCDECL_DEF int crt__stat##suffix(const char *path, void *out)       \
    {                                                                            \
        return stat_narrow(path, out, &layout);                                  \
    }                                                                            \
    static WINCDECL_DEF int crt__wstat##suffix(const crt_wchar *path, void *out) \
    {                                                                            \
        return stat_path(path, out, &layout);                                    \
    }                                                                            \
    static WINCDECL_DEF int crt__fstat##suffix(int fd, void *out)                \
    {                                                                            \
        return stat_descriptor(fd, out, &layout);                                \
    }
STAT_FUNCTIONS(32, layout_32)
STAT_FUNCTIONS(32i64, layout_32i64)
STAT_FUNCTIONS(64i32, layout_64i32)
STAT_FUNCTIONS(64, layout_64)

/* ---- times
 * -----------------------------------------------------------------------------------------------
 */

static int set_times(const char *host, int64_t access, int64_t modification, bool now)
{
    struct timespec times[2] = {{.tv_sec = (time_t)access}, {.tv_sec = (time_t)modification}};
    return utimensat(AT_FDCWD, host, now ? NULL : times, 0) == 0 ? 0 : crt_fail_from_host();
}

static int set_times_wide(const crt_wchar *path, int64_t access, int64_t modification, bool now)
{
    char *host = crt_path_host(path, true);
    int result = host != NULL ? set_times(host, access, modification, now) : -1;
    free(host);
    return result;
}

static int set_times_narrow(const char *path, int64_t access, int64_t modification, bool now)
{
    crt_wchar *wide = crt_path_widen(path);
    int result = wide != NULL ? set_times_wide(wide, access, modification, now) : -1;
    free(wide);
    return result;
}

static int set_times_descriptor(int fd, int64_t access, int64_t modification, bool now)
{
    struct timespec times[2] = {{.tv_sec = (time_t)access}, {.tv_sec = (time_t)modification}};
    int host = crt_fd_host(fd);
    return host >= 0 && futimens(host, now ? NULL : times) == 0 ? 0 : crt_fail_from_host();
}

#define UTIME_FUNCTIONS(suffix, type)                                                           \
    static WINCDECL_DEF int crt__utime##suffix(const char *path, const type *t)                 \
    {                                                                                           \
        return set_times_narrow(path, t != NULL ? t[0] : 0, t != NULL ? t[1] : 0, t == NULL);   \
    }                                                                                           \
    static WINCDECL_DEF int crt__wutime##suffix(const crt_wchar *path, const type *t)           \
    {                                                                                           \
        return set_times_wide(path, t != NULL ? t[0] : 0, t != NULL ? t[1] : 0, t == NULL);     \
    }                                                                                           \
    static WINCDECL_DEF int crt__futime##suffix(int fd, const type *t)                          \
    {                                                                                           \
        return set_times_descriptor(fd, t != NULL ? t[0] : 0, t != NULL ? t[1] : 0, t == NULL); \
    }
UTIME_FUNCTIONS(32, int32_t)
UTIME_FUNCTIONS(64, int64_t)

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_stat32),
    CRT_FN(_stat32i64),
    CRT_FN(_stat64i32),
    CRT_FN(_stat64),
    CRT_FN(_wstat32),
    CRT_FN(_wstat32i64),
    CRT_FN(_wstat64i32),
    CRT_FN(_wstat64),
    CRT_FN(_fstat32),
    CRT_FN(_fstat32i64),
    CRT_FN(_fstat64i32),
    CRT_FN(_fstat64),
    CRT_BY_WORD(_stat, crt__stat64i32, crt__stat32),
    CRT_BY_WORD(_stati64, crt__stat64, crt__stat32i64),
    CRT_BY_WORD(_wstat, crt__wstat64i32, crt__wstat32),
    CRT_BY_WORD(_wstati64, crt__wstat64, crt__wstat32i64),
    CRT_BY_WORD(_fstat, crt__fstat64i32, crt__fstat32),
    CRT_BY_WORD(_fstati64, crt__fstat64, crt__fstat32i64),
    CRT_FN(_utime32),
    CRT_FN(_utime64),
    CRT_FN(_wutime32),
    CRT_FN(_wutime64),
    CRT_FN(_futime32),
    CRT_FN(_futime64),
    CRT_BY_WORD(_utime, crt__utime64, crt__utime32),
    CRT_BY_WORD(_wutime, crt__wutime64, crt__wutime32),
    CRT_BY_WORD(_futime, crt__futime64, crt__futime32),
};
CRT_FAMILY(crt_stat_family, functions);
