/*
 * What goes wrong with files, and the Windows error for it: handles that are none, names that
 * nobody can have, arguments, a full disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "loader/win32/file.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/win32_fn.h"

K32(CreateFileA, HANDLE, const char *name, DWORD access, DWORD share, void *security,
    DWORD disposition, DWORD flags, HANDLE template_file)
K32(CreateFileW, HANDLE, const WCHAR *name, DWORD access, DWORD share, void *security,
    DWORD disposition, DWORD flags, HANDLE template_file)
K32(CreateEventA, HANDLE, void *security, BOOL manual, BOOL initial, const char *name)
K32(CloseHandle, BOOL, HANDLE handle)
K32(DuplicateHandle, BOOL, HANDLE from, HANDLE handle, HANDLE to, HANDLE *out, DWORD access,
    BOOL inherit, DWORD options)
K32(ReadFile, BOOL, HANDLE file, void *buffer, DWORD size, DWORD *done, OVERLAPPED *overlapped)
K32(WriteFile, BOOL, HANDLE file, const void *buffer, DWORD size, DWORD *done,
    OVERLAPPED *overlapped)
K32(SetFilePointer, DWORD, HANDLE file, LONG low, LONG *high, DWORD method)
K32(SetFilePointerEx, BOOL, HANDLE file, LARGE_INTEGER distance, LARGE_INTEGER *now, DWORD method)
K32(GetFileSize, DWORD, HANDLE file, DWORD *high)
K32(GetFileSizeEx, BOOL, HANDLE file, LARGE_INTEGER *size)
K32(SetEndOfFile, BOOL, HANDLE file)
K32(FlushFileBuffers, BOOL, HANDLE file)
K32(GetFileType, DWORD, HANDLE file)
K32(LockFile, BOOL, HANDLE file, DWORD low, DWORD high, DWORD size_low, DWORD size_high)
K32(LockFileEx, BOOL, HANDLE file, DWORD flags, DWORD reserved, DWORD low, DWORD high,
    OVERLAPPED *overlapped)
K32(UnlockFile, BOOL, HANDLE file, DWORD low, DWORD high, DWORD size_low, DWORD size_high)
K32(UnlockFileEx, BOOL, HANDLE file, DWORD reserved, DWORD low, DWORD high, OVERLAPPED *overlapped)
K32(CancelIo, BOOL, HANDLE file)
K32(CancelIoEx, BOOL, HANDLE file, OVERLAPPED *overlapped)
K32(PeekNamedPipe, BOOL, HANDLE pipe, void *buffer, DWORD size, DWORD *done, DWORD *ready,
    DWORD *left)
K32(GetFileInformationByHandle, BOOL, HANDLE file, void *info)
K32(GetFileInformationByHandleEx, BOOL, HANDLE file, DWORD class, void *info, DWORD size)
K32(SetFileInformationByHandle, BOOL, HANDLE file, DWORD class, const void *info, DWORD size)
K32(GetFileTime, BOOL, HANDLE file, FILETIME *creation, FILETIME *access, FILETIME *write)
K32(SetFileTime, BOOL, HANDLE file, const FILETIME *creation, const FILETIME *access,
    const FILETIME *write)
K32(GetFinalPathNameByHandleA, DWORD, HANDLE file, char *buffer, DWORD size, DWORD flags)
K32(GetFinalPathNameByHandleW, DWORD, HANDLE file, WCHAR *buffer, DWORD size, DWORD flags)
K32(GetVolumeInformationByHandleW, BOOL, HANDLE file, WCHAR *label, DWORD label_size, DWORD *serial,
    DWORD *longest, DWORD *flags, WCHAR *system, DWORD system_size)
K32(FindNextFileA, BOOL, HANDLE search, void *data)
K32(FindNextFileW, BOOL, HANDLE search, void *data)
K32(FindClose, BOOL, HANDLE search)
K32(FindFirstFileA, HANDLE, const char *name, void *data)
K32(DeleteFileA, BOOL, const char *name)
K32(MoveFileA, BOOL, const char *from, const char *to)
K32(CopyFileA, BOOL, const char *from, const char *to, BOOL exclusive)
K32(CreateDirectoryA, BOOL, const char *name, void *security)
K32(RemoveDirectoryA, BOOL, const char *name)
K32(GetFileAttributesA, DWORD, const char *name)
K32(SetFileAttributesA, BOOL, const char *name, DWORD attributes)
K32(GetTempFileNameA, UINT, const char *directory, const char *prefix, UINT unique, char *out)
K32(GetTempPathA, DWORD, DWORD size, char *buffer)

struct attributes {
    ULONG length;
    HANDLE root;
    UNICODE_STRING *name;
    ULONG flags;
    void *security, *quality;
};
NT(NtReadFile, nt_status, HANDLE file, HANDLE event, void *apc, void *context, IO_STATUS_BLOCK *io,
   void *buffer, ULONG size, const int64_t *offset, const ULONG *key)
NT(NtWriteFile, nt_status, HANDLE file, HANDLE event, void *apc, void *context, IO_STATUS_BLOCK *io,
   const void *buffer, ULONG size, const int64_t *offset, const ULONG *key)
NT(NtFlushBuffersFile, nt_status, HANDLE file, IO_STATUS_BLOCK *io)
NT(NtQueryInformationFile, nt_status, HANDLE file, IO_STATUS_BLOCK *io, void *out, ULONG size,
   ULONG class)
NT(NtSetInformationFile, nt_status, HANDLE file, IO_STATUS_BLOCK *io, const void *in, ULONG size,
   ULONG class)
NT(NtCreateFile, nt_status, HANDLE *out, ULONG access, const struct attributes *attributes,
   IO_STATUS_BLOCK *io, const int64_t *allocation, ULONG file_attributes, ULONG share,
   ULONG disposition, ULONG options, void *ea, ULONG ea_length)
NT(NtOpenFile, nt_status, HANDLE *out, ULONG access, const struct attributes *attributes,
   IO_STATUS_BLOCK *io, ULONG share, ULONG options)
NT(NtDeleteFile, nt_status, const struct attributes *attributes)
NT(NtQueryAttributesFile, nt_status, const struct attributes *attributes, void *out)
NT(NtQueryFullAttributesFile, nt_status, const struct attributes *attributes, void *out)
NT(NtClose, nt_status, HANDLE handle)

#define RW (GENERIC_READ | GENERIC_WRITE)

static int setup(void **state)
{
    return win32_test_setup(state) || tempdir_create();
}

static int teardown(void **state)
{
    return tempdir_remove();
}

static HANDLE open_file(const char *name, DWORD access, DWORD disposition, DWORD flags)
{
    return CreateFileA(tempdir_path(name), access, 7, NULL, disposition, flags, NULL);
}

/* ---- handles
 * ------------------------------------------------------------------------------------- */

static struct {
    DWORD words[64];
    OVERLAPPED overlapped;
    IO_STATUS_BLOCK io;
    FILETIME time;
    LARGE_INTEGER large;
    char text[64];
    WCHAR wide[64];
} room;

#define CALLS_OF(X)                                                               \
    X(ReadFile(h, room.text, 1, room.words, NULL))                                \
    X(ReadFile(h, room.text, 1, room.words, &room.overlapped))                    \
    X(WriteFile(h, room.text, 1, room.words, NULL))                               \
    X(WriteFile(h, room.text, 1, room.words, &room.overlapped))                   \
    X(SetFilePointer(h, 0, NULL, 0) != 0xFFFFFFFF)                                \
    X(SetFilePointerEx(h, room.large, NULL, 0))                                   \
    X(GetFileSize(h, NULL) != 0xFFFFFFFF)                                         \
    X(GetFileSizeEx(h, &room.large))                                              \
    X(SetEndOfFile(h))                                                            \
    X(FlushFileBuffers(h))                                                        \
    X(GetFileType(h))                                                             \
    X(LockFile(h, 0, 0, 1, 0))                                                    \
    X(LockFileEx(h, 1, 0, 1, 0, &room.overlapped))                                \
    X(UnlockFile(h, 0, 0, 1, 0))                                                  \
    X(UnlockFileEx(h, 0, 1, 0, &room.overlapped))                                 \
    X(CancelIo(h))                                                                \
    X(CancelIoEx(h, NULL))                                                        \
    X(PeekNamedPipe(h, NULL, 0, NULL, room.words, NULL))                          \
    X(GetFileInformationByHandle(h, room.words))                                  \
    X(GetFileInformationByHandleEx(h, 0, room.words, sizeof(room.words)))         \
    X(GetFileInformationByHandleEx(h, 2, room.words, sizeof(room.words)))         \
    X(SetFileInformationByHandle(h, 0, room.words, 40))                           \
    X(SetFileInformationByHandle(h, 3, room.words, 24))                           \
    X(SetFileInformationByHandle(h, 4, room.words, 1))                            \
    X(SetFileInformationByHandle(h, 5, room.words, 8))                            \
    X(SetFileInformationByHandle(h, 6, room.words, 8))                            \
    X(SetFileInformationByHandle(h, 21, room.words, 4))                           \
    X(GetFileTime(h, &room.time, NULL, NULL))                                     \
    X(SetFileTime(h, NULL, NULL, &room.time))                                     \
    X(GetFinalPathNameByHandleA(h, room.text, sizeof(room.text), 0))              \
    X(GetFinalPathNameByHandleW(h, room.wide, 64, 0))                             \
    X(GetVolumeInformationByHandleW(h, NULL, 0, room.words, NULL, NULL, NULL, 0)) \
    X(FindNextFileA(h, room.words))                                               \
    X(FindNextFileW(h, room.words))                                               \
    X(FindClose(h))

#define NT_CALLS_OF(X)                                                      \
    X(NtReadFile(h, NULL, NULL, NULL, &room.io, room.text, 1, NULL, NULL))  \
    X(NtWriteFile(h, NULL, NULL, NULL, &room.io, room.text, 1, NULL, NULL)) \
    X(NtFlushBuffersFile(h, &room.io))                                      \
    X(NtQueryInformationFile(h, &room.io, room.words, 64, 4))               \
    X(NtQueryInformationFile(h, &room.io, room.words, 64, 5))               \
    X(NtQueryInformationFile(h, &room.io, room.words, 64, 9))               \
    X(NtQueryInformationFile(h, &room.io, room.words, 64, 14))              \
    X(NtSetInformationFile(h, &room.io, room.words, 1, 13))                 \
    X(NtSetInformationFile(h, &room.io, room.words, 8, 14))                 \
    X(NtSetInformationFile(h, &room.io, room.words, 8, 20))                 \
    X(NtSetInformationFile(h, &room.io, room.words, 4, 64))

static void check_call(const char *call, const char *which, bool succeeded)
{
    uint32_t error = ke_last_error();
    if (succeeded || error != ERROR_INVALID_HANDLE)
        fail_msg("%s with a handle that is %s: %s, error %u", call, which,
                 succeeded ? "succeeded" : "failed", error);
    ke_set_last_error(0xDEADBEEF);
}

static void check_status(const char *call, const char *which, nt_status got, nt_status wanted)
{
    if (got != wanted)
        fail_msg("%s with a handle that is %s: %s", call, which, nt_status_name(got));
}

static void test_bad_handles(void **state)
{
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    HANDLE closed = open_file("closed", RW, CREATE_ALWAYS, 0);
    assert_true(CloseHandle(closed));
    const struct {
        const char *what;
        HANDLE handle;
        nt_status status;
    } bad[] = {
        {"NULL", NULL, (nt_status)STATUS_INVALID_HANDLE},
        {"-1", INVALID_HANDLE_VALUE, (nt_status)STATUS_INVALID_HANDLE},
        {"-2", CURRENT_THREAD, (nt_status)STATUS_INVALID_HANDLE},
        {"closed", closed, (nt_status)STATUS_INVALID_HANDLE},
        {"far away", (HANDLE)(uintptr_t)0x7FFFFFFC, (nt_status)STATUS_INVALID_HANDLE},
        {"an event's", event, (nt_status)STATUS_OBJECT_TYPE_MISMATCH},
    };
    uint32_t calls = 0;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        HANDLE h = bad[i].handle;
        ke_set_last_error(0xDEADBEEF);
#define CHECK(call)                              \
    check_call(#call, bad[i].what, (call) != 0); \
    calls++;
        CALLS_OF(CHECK)
#undef CHECK
#define CHECK(call)                                        \
    check_status(#call, bad[i].what, call, bad[i].status); \
    calls++;
        NT_CALLS_OF(CHECK)
#undef CHECK
    }
    print_message("%u calls with bad handles\n", calls);
    assert_true(CloseHandle(event));
}

/* A handle of a file is none of a search, and the other way round. */
static void test_searches_are_no_files(void **state)
{
    DWORD data[200], done;
    HANDLE search = FindFirstFileA(tempdir_path("*"), data);
    assert_ptr_not_equal(search, INVALID_HANDLE_VALUE);
    assert_fails(ReadFile(search, data, 1, &done, NULL), ERROR_INVALID_HANDLE);
    HANDLE file = open_file("f", RW, CREATE_ALWAYS, 0);
    assert_fails(FindNextFileA(file, data), ERROR_INVALID_HANDLE);
    assert_fails(FindClose(file), ERROR_INVALID_HANDLE);
    assert_true(CloseHandle(file));
    assert_true(FindClose(search));
    assert_fails(FindClose(search), ERROR_INVALID_HANDLE);
}

/* ---- rights
 * --------------------------------------------------------------------------------------- */

/* What a duplicate grants counts, not what the file was opened with. */
static void test_rights_of_duplicates(void **state)
{
    HANDLE self = (HANDLE)(intptr_t)-1, reader, writer, more;
    DWORD done;
    char c;
    HANDLE file = open_file("rights", RW, CREATE_ALWAYS, 0);
    assert_true(DuplicateHandle(self, file, self, &reader, GENERIC_READ, FALSE, 0));
    assert_true(DuplicateHandle(self, file, self, &writer, FILE_GENERIC_WRITE, FALSE, 0));
    assert_fails(WriteFile(reader, "x", 1, &done, NULL), ERROR_ACCESS_DENIED);
    assert_fails(FlushFileBuffers(reader), ERROR_ACCESS_DENIED);
    assert_fails(SetEndOfFile(reader), ERROR_ACCESS_DENIED);
    assert_fails(ReadFile(writer, &c, 1, &done, NULL), ERROR_ACCESS_DENIED);
    assert_true(WriteFile(writer, "x", 1, &done, NULL));
    assert_int_equal(SetFilePointer(reader, 0, NULL, 0), 0);
    assert_true(ReadFile(reader, &c, 1, &done, NULL));
    assert_int_equal(c, 'x');
    assert_true(CloseHandle(file));
    /* Nor does a duplicate give more than the file was opened with. */
    assert_true(CloseHandle(reader) && CloseHandle(writer));
    file = open_file("rights", GENERIC_READ, OPEN_EXISTING, 0);
    assert_true(DuplicateHandle(self, file, self, &more, RW, FALSE, 0));
    assert_fails(WriteFile(more, "x", 1, &done, NULL), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(file) && CloseHandle(more));
    file = open_file("rights", GENERIC_WRITE, OPEN_EXISTING, 0);
    assert_fails(ReadFile(file, &c, 1, &done, NULL), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(file));
}

/* ---- arguments
 * ------------------------------------------------------------------------------------ */

static void test_overlapped_files_need_an_offset(void **state)
{
    DWORD done;
    char c;
    IO_STATUS_BLOCK io;
    HANDLE file = open_file("overlapped", RW, CREATE_ALWAYS, FILE_FLAG_OVERLAPPED);
    assert_fails(WriteFile(file, "x", 1, &done, NULL), ERROR_INVALID_PARAMETER);
    assert_fails(ReadFile(file, &c, 1, &done, NULL), ERROR_INVALID_PARAMETER);
    assert_status(NtReadFile(file, NULL, NULL, NULL, &io, &c, 1, NULL, NULL),
                  STATUS_INVALID_PARAMETER);
    OVERLAPPED at = {.Offset = 3};
    assert_true(WriteFile(file, "x", 1, &done, &at));
    at.OffsetHigh = 0x80000000;
    assert_fails(ReadFile(file, &c, 1, &done, &at), ERROR_INVALID_PARAMETER);
    assert_true(CloseHandle(file));
}

static void test_bad_pointers(void **state)
{
    DWORD done;
    char *bad = (char *)(uintptr_t)0x10;
    IO_STATUS_BLOCK io;
    HANDLE file = open_file("pointers", RW, CREATE_ALWAYS, 0), none;
    assert_true(WriteFile(file, "0123456789", 10, &done, NULL));
    assert_int_equal(SetFilePointer(file, 0, NULL, 0), 0);
    assert_fails(ReadFile(file, NULL, 5, &done, NULL), ERROR_NOACCESS);
    assert_fails(ReadFile(file, bad, 5, &done, NULL), ERROR_NOACCESS);
    assert_fails(WriteFile(file, NULL, 5, &done, NULL), ERROR_INVALID_USER_BUFFER);
    assert_int_equal(done, 0);
    assert_true(ReadFile(file, NULL, 0, &done, NULL));
    assert_true(WriteFile(file, NULL, 0, &done, NULL));
    assert_int_equal(GetFileSize(file, NULL), 10);
    assert_fails(SetFileInformationByHandle(file, 6, NULL, 8), 24);
    assert_status(NtReadFile(file, NULL, NULL, NULL, NULL, bad, 1, NULL, NULL),
                  STATUS_ACCESS_VIOLATION);
    assert_status(NtQueryInformationFile(file, &io, NULL, 64, 5), STATUS_ACCESS_VIOLATION);
    assert_status(NtSetInformationFile(file, &io, NULL, 8, 20), STATUS_ACCESS_VIOLATION);
    assert_status(NtCreateFile(NULL, RW, NULL, &io, NULL, 0, 7, 1, 0, NULL, 0),
                  STATUS_ACCESS_VIOLATION);
    assert_status(NtCreateFile(&none, RW, NULL, &io, NULL, 0, 7, 1, 0, NULL, 0),
                  STATUS_INVALID_PARAMETER);
    assert_true(CloseHandle(file));
}

/* A new name that claims to be longer than what was passed. */
static void test_rename_with_a_wrong_length(void **state)
{
    struct {
        DWORD replace;
        HANDLE root;
        DWORD length;
        WCHAR name[6];
    } info = {.length = 0x10000, .name = {'C', ':', '\\', 'x'}};
    HANDLE file = open_file("renamed", GENERIC_READ | FILE_DELETE, CREATE_ALWAYS, 0);
    assert_fails(SetFileInformationByHandle(file, 3, &info, sizeof(info)), ERROR_INVALID_PARAMETER);
    info.length = 7;
    assert_fails(SetFileInformationByHandle(file, 3, &info, sizeof(info)), ERROR_INVALID_PARAMETER);
    info.length = 0;
    assert_fails(SetFileInformationByHandle(file, 3, &info, sizeof(info)), ERROR_INVALID_PARAMETER);
    assert_true(CloseHandle(file));
}

static void test_positions_and_sizes(void **state)
{
    LARGE_INTEGER now;
    DWORD done;
    char c;
    HANDLE file = open_file("sizes", RW, CREATE_ALWAYS, 0);
    assert_fails(SetFilePointerEx(file, (LARGE_INTEGER){.QuadPart = -1}, NULL, 0),
                 ERROR_NEGATIVE_SEEK);
    assert_true(SetFilePointerEx(file, (LARGE_INTEGER){.QuadPart = 0x500000000}, &now, 0));
    assert_true(WriteFile(file, "x", 1, &done, NULL));
    assert_true(GetFileSizeEx(file, &now));
    assert_true(now.QuadPart == 0x500000001);
    DWORD high;
    assert_int_equal(GetFileSize(file, &high), 1);
    assert_int_equal(high, 5);
    OVERLAPPED at = {.Offset = 0, .OffsetHigh = 5};
    assert_true(ReadFile(file, &c, 1, &done, &at));
    assert_int_equal(c, 'x');
    assert_fails(
        SetFilePointerEx(file, (LARGE_INTEGER){.QuadPart = -1 - INT64_C(0x500000001)}, NULL, 2),
        ERROR_NEGATIVE_SEEK);
    /* More than any disk here has room for. */
    assert_true(SetFilePointerEx(file, (LARGE_INTEGER){.QuadPart = INT64_C(1) << 43}, NULL, 0));
    assert_fails(SetEndOfFile(file), ERROR_DISK_FULL);
    assert_true(GetFileSizeEx(file, &now));
    assert_true(now.QuadPart == 0x500000001);
    assert_true(CloseHandle(file));
    HANDLE reader = open_file("sizes", GENERIC_READ, OPEN_EXISTING, 0);
    assert_fails(SetEndOfFile(reader), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(reader));
    assert_true(DeleteFileA(tempdir_path("sizes")));
}

/* ---- names
 * ----------------------------------------------------------------------------------------- */

static char long_component[400], long_path[40000];

static void fill_names(void)
{
    memset(long_component, 'c', sizeof(long_component) - 1);
    for (size_t i = 0; i + 2 < sizeof(long_path); i += 2)
        memcpy(long_path + i, "p\\", 2);
}

static void test_names_that_nobody_can_have(void **state)
{
    fill_names();
    const struct {
        const char *name;
        uint32_t opening, creating; /* what CreateFile fails with */
    } names[] = {
        {NULL, ERROR_PATH_NOT_FOUND, ERROR_PATH_NOT_FOUND},
        {"", ERROR_PATH_NOT_FOUND, ERROR_PATH_NOT_FOUND},
        {"a*b", ERROR_INVALID_NAME, ERROR_INVALID_NAME},
        {"a?b", ERROR_INVALID_NAME, ERROR_INVALID_NAME},
        {"a<b", ERROR_INVALID_NAME, ERROR_INVALID_NAME},
        {"a>b", ERROR_INVALID_NAME, ERROR_INVALID_NAME},
        {"a\"b", ERROR_INVALID_NAME, ERROR_INVALID_NAME},
        {"a|b", ERROR_INVALID_NAME, ERROR_INVALID_NAME},
        {"a\x01"
         "b",
         ERROR_INVALID_NAME, ERROR_INVALID_NAME},
        {"ab:stream", ERROR_INVALID_NAME, ERROR_INVALID_NAME},
        {"missing\\", ERROR_FILE_NOT_FOUND, ERROR_INVALID_NAME},
        {"missing\\..\\..\\..\\..\\..\\..\\..\\..\\none", ERROR_FILE_NOT_FOUND, 0},
        {"\\\\?\\Z:\\tmp\\..\\x", ERROR_INVALID_NAME, ERROR_INVALID_NAME},
        {"\\\\?\\Z:\\tmp\\.\\x", ERROR_INVALID_NAME, ERROR_INVALID_NAME},
        {"\\\\server\\share\\x", ERROR_PATH_NOT_FOUND, ERROR_PATH_NOT_FOUND},
        {"Q:\\x", ERROR_PATH_NOT_FOUND, ERROR_PATH_NOT_FOUND},
        {"COM1", ERROR_FILE_NOT_FOUND, ERROR_FILE_NOT_FOUND},
        {"com9:", ERROR_FILE_NOT_FOUND, ERROR_FILE_NOT_FOUND},
        {"LPT1", ERROR_FILE_NOT_FOUND, ERROR_FILE_NOT_FOUND},
        {"AUX", ERROR_FILE_NOT_FOUND, ERROR_FILE_NOT_FOUND},
        {"PRN .", ERROR_FILE_NOT_FOUND, ERROR_FILE_NOT_FOUND},
        {"Z:\\tmp\\COM2", ERROR_FILE_NOT_FOUND, ERROR_FILE_NOT_FOUND},
        {"\\\\.\\COM3", ERROR_FILE_NOT_FOUND, ERROR_FILE_NOT_FOUND},
        {"\\\\.\\PhysicalDrive0", ERROR_FILE_NOT_FOUND, ERROR_FILE_NOT_FOUND},
        {long_component, ERROR_INVALID_NAME, ERROR_INVALID_NAME},
        {long_path, ERROR_FILENAME_EXCED_RANGE, ERROR_FILENAME_EXCED_RANGE},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *name = names[i].name;
        ke_set_last_error(0);
        HANDLE opened = CreateFileA(name, GENERIC_READ, 7, NULL, OPEN_EXISTING, 0, NULL);
        uint32_t error = ke_last_error();
        if (opened != INVALID_HANDLE_VALUE || error != names[i].opening)
            fail_msg("opening %.40s: %u", name ? name : "NULL", error);
        if (!names[i].creating)
            continue;
        opened = CreateFileA(name, RW, 7, NULL, CREATE_ALWAYS, 0, NULL);
        error = ke_last_error();
        if (opened != INVALID_HANDLE_VALUE || error != names[i].creating)
            fail_msg("creating %.40s: %u", name ? name : "NULL", error);
    }
}

/* The same for functions that take a name and do one thing. */
static void test_names_elsewhere(void **state)
{
    fill_names();
    const struct {
        const char *name;
        uint32_t error;
    } names[] = {
        {NULL, ERROR_PATH_NOT_FOUND},
        {"", ERROR_PATH_NOT_FOUND},
        {"a*b", ERROR_INVALID_NAME},
        {"none\\x", ERROR_PATH_NOT_FOUND},
        {"none", ERROR_FILE_NOT_FOUND},
        {long_component, ERROR_INVALID_NAME},
        {long_path, ERROR_FILENAME_EXCED_RANGE},
    };
    const char *good = tempdir_path("good");
    assert_true(CloseHandle(open_file("good", RW, CREATE_ALWAYS, 0)));
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *name = names[i].name;
        uint32_t error = names[i].error;
        assert_fails(DeleteFileA(name), error);
        assert_fails(RemoveDirectoryA(name), error);
        assert_fails(GetFileAttributesA(name) != 0xFFFFFFFF, error);
        assert_fails(SetFileAttributesA(name, 0x80), error);
        assert_fails(MoveFileA(name, "new"), error);
        assert_fails(CopyFileA(name, "new", TRUE), error);
        if (error != ERROR_FILE_NOT_FOUND) {
            assert_fails(MoveFileA(good, name), error);
            assert_fails(CopyFileA(good, name, TRUE), error);
            assert_fails(CreateDirectoryA(name, NULL), error);
        }
    }
    assert_fails(CreateDirectoryA(good, NULL), ERROR_ALREADY_EXISTS);
}

/* Dots and blanks at the end belong to no name, and ".." stays inside the text. */
static void test_names_that_mean_another(void **state)
{
    static const char *const spellings[] = {"same",   "same.",   "same...",
                                            "same  ", "./same",  "x/../same",
                                            "SAME",   "same. .", "x\\y\\..\\..\\same"};
    assert_true(CloseHandle(open_file("same", RW, CREATE_NEW, 0)));
    for (size_t i = 0; i < sizeof(spellings) / sizeof(*spellings); i++) {
        HANDLE file = open_file(spellings[i], RW, OPEN_ALWAYS, 0);
        if (file == INVALID_HANDLE_VALUE || ke_last_error() != ERROR_ALREADY_EXISTS)
            fail_msg("\"%s\" is another file", spellings[i]);
        assert_true(CloseHandle(file));
    }
    assert_true(DeleteFileA(tempdir_path("same")));
    for (size_t i = 0; i < 2; i++) {
        HANDLE nul = CreateFileA(i ? "Z:\\tmp\\nul" : "NUL:", RW, 0, NULL, OPEN_EXISTING, 0, NULL);
        assert_int_equal(GetFileType(nul), FILE_TYPE_CHAR);
        assert_true(CloseHandle(nul));
    }
}

/* ---- NT names
 * --------------------------------------------------------------------------------------- */

static UNICODE_STRING wide(const char *text, WCHAR *buffer)
{
    size_t length = 0;
    for (; text[length]; length++)
        buffer[length] = (WCHAR)(uint8_t)text[length];
    return (UNICODE_STRING){(USHORT)(2 * length), (USHORT)(2 * length), buffer};
}

static nt_status nt_open(HANDLE root, UNICODE_STRING name, ULONG disposition, ULONG options,
                         HANDLE *out, ULONG *outcome)
{
    IO_STATUS_BLOCK io = {.Information = 99};
    struct attributes attributes = {sizeof(attributes), root, &name, 0x40, NULL, NULL};
    nt_status status = NtCreateFile(out, RW | 0x100000, &attributes, &io, NULL, 0x80, 7,
                                    disposition, options, NULL, 0);
    *outcome = (ULONG)io.Information;
    return status;
}

static void test_nt_names(void **state)
{
    static const struct {
        const char *name;
        int32_t status;
    } names[] = {
        {"", STATUS_OBJECT_PATH_SYNTAX_BAD},
        {"file", STATUS_OBJECT_PATH_SYNTAX_BAD},
        {"\\nowhere\\file", STATUS_OBJECT_PATH_NOT_FOUND},
        {"\\??\\Q:\\file", STATUS_OBJECT_PATH_NOT_FOUND},
        {"\\??\\Z:\\none/file", STATUS_OBJECT_NAME_INVALID},
        {"\\??\\Z:\\tmp\\..\\etc", STATUS_OBJECT_NAME_INVALID},
        {"\\??\\Z:\\tmp\\a*b", STATUS_OBJECT_NAME_INVALID},
        {"\\??\\Z:\\none\\file", STATUS_OBJECT_PATH_NOT_FOUND},
        {"\\??\\COM1", STATUS_OBJECT_NAME_NOT_FOUND},
    };
    WCHAR buffer[64];
    HANDLE file;
    ULONG outcome;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        nt_status status = nt_open(NULL, wide(names[i].name, buffer), 1, 0x60, &file, &outcome);
        if (status != (nt_status)names[i].status)
            fail_msg("%s: %s", names[i].name, nt_status_name(status));
    }
    UNICODE_STRING name = wide("\\??\\Z:\\tmp\\abc", buffer);
    buffer[12] = 0; /* a NUL inside */
    assert_status(nt_open(NULL, name, 1, 0x60, &file, &outcome), STATUS_OBJECT_NAME_INVALID);
    name = wide("\\??\\Z:\\tmp\\abc", buffer);
    name.Length--;
    assert_status(nt_open(NULL, name, 1, 0x60, &file, &outcome), STATUS_OBJECT_NAME_INVALID);
    name = (UNICODE_STRING){10, 10, NULL};
    assert_status(nt_open(NULL, name, 1, 0x60, &file, &outcome), STATUS_ACCESS_VIOLATION);
    static WCHAR longest[0x7FFF];
    wide("\\??\\Z:\\tmp\\", longest);
    for (size_t i = 11; i < 0x7FFF; i++)
        longest[i] = i % 100 ? 'l' : '\\';
    name = (UNICODE_STRING){0xFFFE, 0xFFFE, longest};
    assert_status(nt_open(NULL, name, 1, 0x60, &file, &outcome), STATUS_NAME_TOO_LONG);
}

/* Dispositions and what the status block says of them, relative to a directory. */
static void test_nt_dispositions(void **state)
{
    enum { SUPERSEDE, OPEN, CREATE, OPEN_IF, OVERWRITE, OVERWRITE_IF };
    static const struct {
        ULONG disposition;
        bool exists;
        int32_t status;
        ULONG outcome;
    } rows[] = {
        {SUPERSEDE, false, STATUS_SUCCESS, 2},
        {SUPERSEDE, true, STATUS_SUCCESS, 0},
        {OPEN, false, STATUS_OBJECT_NAME_NOT_FOUND, 0},
        {OPEN, true, STATUS_SUCCESS, 1},
        {CREATE, false, STATUS_SUCCESS, 2},
        {CREATE, true, STATUS_OBJECT_NAME_COLLISION, 0},
        {OPEN_IF, false, STATUS_SUCCESS, 2},
        {OPEN_IF, true, STATUS_SUCCESS, 1},
        {OVERWRITE, false, STATUS_OBJECT_NAME_NOT_FOUND, 0},
        {OVERWRITE, true, STATUS_SUCCESS, 3},
        {OVERWRITE_IF, false, STATUS_SUCCESS, 2},
        {OVERWRITE_IF, true, STATUS_SUCCESS, 3},
        {6, true, STATUS_INVALID_PARAMETER, 99},
    };
    WCHAR buffer[64];
    HANDLE file;
    ULONG outcome;
    HANDLE root = CreateFileA(tempdir, GENERIC_READ, 7, NULL, OPEN_EXISTING,
                              FILE_FLAG_BACKUP_SEMANTICS, NULL);
    assert_ptr_not_equal(root, INVALID_HANDLE_VALUE);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        unlink(tempdir_path("nt"));
        if (rows[i].exists)
            tempdir_write("nt", "x", 1);
        nt_status status =
            nt_open(root, wide("nt", buffer), rows[i].disposition, 0x60, &file, &outcome);
        if (status != (nt_status)rows[i].status || outcome != rows[i].outcome)
            fail_msg("row %zu: %s, %u", i, nt_status_name(status), outcome);
        if (nt_ok(status))
            assert_status(NtClose(file), STATUS_SUCCESS);
    }
    assert_status(nt_open(root, wide("folder", buffer), CREATE, 0x21, &file, &outcome),
                  STATUS_SUCCESS);
    assert_status(NtClose(file), STATUS_SUCCESS);
    assert_status(nt_open(root, wide("folder", buffer), OPEN, 0x60, &file, &outcome),
                  STATUS_FILE_IS_A_DIRECTORY);
    assert_status(nt_open(root, wide("nt", buffer), OPEN, 0x21, &file, &outcome),
                  STATUS_NOT_A_DIRECTORY);
    assert_status(nt_open(root, wide("\\nt", buffer), OPEN, 0x60, &file, &outcome),
                  STATUS_OBJECT_PATH_SYNTAX_BAD);
    assert_status(nt_open(root, wide("nt", buffer), OPEN, 0x41, &file, &outcome),
                  STATUS_INVALID_PARAMETER);
    UNICODE_STRING name = wide("nt", buffer);
    struct attributes attributes = {sizeof(attributes), root, &name, 0x40, NULL, NULL};
    int64_t info[7];
    assert_status(NtQueryFullAttributesFile(&attributes, info), STATUS_SUCCESS);
    assert_int_equal(info[5], 1); /* the end of the file */
    assert_status(NtQueryAttributesFile(&attributes, info), STATUS_SUCCESS);
    assert_status(NtDeleteFile(&attributes), STATUS_SUCCESS);
    assert_status(NtDeleteFile(&attributes), STATUS_OBJECT_NAME_NOT_FOUND);
    assert_status(NtOpenFile(&file, RW, &attributes, &room.io, 7, 0x40),
                  STATUS_OBJECT_NAME_NOT_FOUND);
    assert_true(CloseHandle(root));
    attributes.root = root;
    assert_status(NtDeleteFile(&attributes), STATUS_INVALID_HANDLE);
}

/* ---- temporary names
 * -------------------------------------------------------------------------------- */

static void test_temporary_names(void **state)
{
    char name[MAX_PATH], second[MAX_PATH], directory[MAX_PATH];
    assert_fails(GetTempFileNameA(NULL, "p", 0, name), ERROR_INVALID_PARAMETER);
    assert_fails(GetTempFileNameA(tempdir, "p", 0, NULL), ERROR_INVALID_PARAMETER);
    assert_fails(GetTempFileNameA(tempdir_path("none"), "p", 0, name), ERROR_DIRECTORY);
    assert_fails(GetTempFileNameA(tempdir, "a*", 0, name), ERROR_INVALID_NAME);
    memset(directory, 'd', sizeof(directory) - 1);
    directory[sizeof(directory) - 1] = 0;
    assert_fails(GetTempFileNameA(directory, "p", 0, name), 111); /* ERROR_BUFFER_OVERFLOW */
    UINT one = GetTempFileNameA(tempdir, NULL, 0, name);
    UINT two = GetTempFileNameA(tempdir, NULL, 0, second);
    assert_int_not_equal(one, 0);
    assert_int_not_equal(one, two);
    assert_int_equal(one >> 16, 0);
    assert_true(DeleteFileA(name) && DeleteFileA(second));
    /* Only the lower 16 bits make the name, and 0 of those is no number. */
    assert_int_not_equal(GetTempFileNameA(tempdir, "p", 0x10000, name), 0);
    assert_true(DeleteFileA(name));
    assert_int_equal(GetTempFileNameA(tempdir, "prefix", 0x12ABC, name), 0x12ABC);
    assert_string_equal(strrchr(name, '\\'), "\\pre2ABC.TMP");
    assert_fails(DeleteFileA(name), ERROR_FILE_NOT_FOUND);
    DWORD needed = GetTempPathA(0, NULL);
    assert_int_equal(GetTempPathA(needed - 1, name), needed);
    assert_int_equal(GetTempPathA(needed, name), needed - 1);
}

/* ---- a full disk
 * --------------------------------------------------------------------------------------- */

#define CHECK(condition) \
    if (!(condition))    \
    _exit(__LINE__ % 200 + 1)

/* Fills a small disk: what was written before stays, and what does not fit is an error. */
static void fill_disk(const char *directory)
{
    static char block[16384];
    char path[600], *back = malloc(1 << 20);
    DWORD done, total = 0;
    snprintf(path, sizeof(path), "%s/full", directory);
    HANDLE file = CreateFileA(path, RW, 7, NULL, CREATE_ALWAYS, 0, NULL);
    CHECK(file != INVALID_HANDLE_VALUE);
    memset(block, 'b', sizeof(block));
    while (WriteFile(file, block, sizeof(block), &done, NULL))
        total += done;
    CHECK(ke_last_error() == ERROR_DISK_FULL && total > 0);
    total += done;
    CHECK(GetFileSize(file, NULL) == total);
    CHECK(SetFilePointer(file, 1 << 24, NULL, 0) == 1 << 24);
    CHECK(!SetEndOfFile(file) && ke_last_error() == ERROR_DISK_FULL);
    CHECK(GetFileSize(file, NULL) == total);
    OVERLAPPED start = {0};
    CHECK(ReadFile(file, back, 1 << 20, &done, &start) && done == total);
    for (DWORD i = 0; i < total; i++)
        CHECK(back[i] == 'b');
    CHECK(CloseHandle(file));
    _exit(0);
}

static int status_of_child(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_full_disk(void **state)
{
    enum { NO_MOUNT = 250 };
    tempdir_mkdir("disk");
    pid_t child = fork();
    if (child == 0) {
        bool alone = unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
        if (!alone || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("tmpfs", tempdir_path("disk"), "tmpfs", 0, "size=256k") != 0)
            _exit(NO_MOUNT);
        fill_disk(tempdir_path("disk"));
    }
    int status = status_of_child(child);
    if (status == NO_MOUNT) {
        print_message("no file system can be mounted here\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* A file that may not grow is a full disk too, and no signal. */
static void test_limited_file(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {100000, 100000};
        static char block[40000];
        DWORD done;
        setrlimit(RLIMIT_FSIZE, &limit);
        HANDLE file = open_file("limited", RW, CREATE_ALWAYS, 0);
        CHECK(WriteFile(file, block, sizeof(block), &done, NULL));
        CHECK(WriteFile(file, block, sizeof(block), &done, NULL));
        CHECK(!WriteFile(file, block, sizeof(block), &done, NULL));
        CHECK(ke_last_error() == ERROR_DISK_FULL);
        CHECK(GetFileSize(file, NULL) == 80000 + done);
        _exit(0);
    }
    assert_int_equal(status_of_child(child), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limited_file), /* before anything was written in this process */
        cmocka_unit_test(test_bad_handles),
        cmocka_unit_test(test_searches_are_no_files),
        cmocka_unit_test(test_rights_of_duplicates),
        cmocka_unit_test(test_overlapped_files_need_an_offset),
        cmocka_unit_test(test_bad_pointers),
        cmocka_unit_test(test_rename_with_a_wrong_length),
        cmocka_unit_test(test_positions_and_sizes),
        cmocka_unit_test(test_names_that_nobody_can_have),
        cmocka_unit_test(test_names_elsewhere),
        cmocka_unit_test(test_names_that_mean_another),
        cmocka_unit_test(test_nt_names),
        cmocka_unit_test(test_nt_dispositions),
        cmocka_unit_test(test_temporary_names),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
