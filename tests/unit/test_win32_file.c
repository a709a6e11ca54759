/*
 * Files through CreateFile and what works on its handles, with the documented results and last
 * errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "loader/win32/file.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/win32_fn.h"

K32(CreateFileA, HANDLE, const char *name, DWORD access, DWORD share, void *security,
    DWORD disposition, DWORD flags, HANDLE template_file)
K32(ReadFile, BOOL, HANDLE file, void *buffer, DWORD size, DWORD *done, OVERLAPPED *overlapped)
K32(WriteFile, BOOL, HANDLE file, const void *buffer, DWORD size, DWORD *done,
    OVERLAPPED *overlapped)
K32(CloseHandle, BOOL, HANDLE handle)
K32(DuplicateHandle, BOOL, HANDLE from, HANDLE handle, HANDLE to, HANDLE *out, DWORD access,
    BOOL inherit, DWORD options)
K32(SetFilePointer, DWORD, HANDLE file, LONG low, LONG *high, DWORD method)
K32(SetFilePointerEx, BOOL, HANDLE file, LARGE_INTEGER distance, LARGE_INTEGER *now, DWORD method)
K32(GetFileSize, DWORD, HANDLE file, DWORD *high)
K32(GetFileSizeEx, BOOL, HANDLE file, LARGE_INTEGER *size)
K32(SetEndOfFile, BOOL, HANDLE file)
K32(GetFileType, DWORD, HANDLE file)
K32(GetFileAttributesA, DWORD, const char *name)
K32(SetFileAttributesA, BOOL, const char *name, DWORD attributes)
K32(GetFileInformationByHandle, BOOL, HANDLE file, void *info)
K32(GetFileInformationByHandleEx, BOOL, HANDLE file, DWORD class, void *info, DWORD size)
K32(SetFileInformationByHandle, BOOL, HANDLE file, DWORD class, const void *info, DWORD size)
K32(SetFileTime, BOOL, HANDLE file, const FILETIME *creation, const FILETIME *access,
    const FILETIME *write)
K32(GetFileTime, BOOL, HANDLE file, FILETIME *creation, FILETIME *access, FILETIME *write)
K32(DeleteFileA, BOOL, const char *name)
K32(CreatePipe, BOOL, HANDLE *reader, HANDLE *writer, void *security, DWORD size)
K32(LockFile, BOOL, HANDLE file, DWORD low, DWORD high, DWORD size_low, DWORD size_high)
K32(UnlockFile, BOOL, HANDLE file, DWORD low, DWORD high, DWORD size_low, DWORD size_high)
K32(FlushFileBuffers, BOOL, HANDLE file)

#define ALL_SHARED 7
#define RW         (GENERIC_READ | GENERIC_WRITE)

static int setup(void **state)
{
    return win32_test_setup(state) || tempdir_create();
}

static int teardown(void **state)
{
    return tempdir_remove();
}

static HANDLE open_file(const char *name, DWORD access, DWORD share, DWORD disposition)
{
    return CreateFileA(tempdir_path(name), access, share, NULL, disposition, 0, NULL);
}

#define assert_open_fails(call, error)                \
    do {                                              \
        assert_ptr_equal(call, INVALID_HANDLE_VALUE); \
        assert_int_equal(ke_last_error(), error);     \
    } while (0)

static void write_text(const char *name, const char *text)
{
    DWORD done;
    HANDLE file = open_file(name, GENERIC_WRITE, 0, CREATE_ALWAYS);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_true(WriteFile(file, text, (DWORD)strlen(text), &done, NULL));
    assert_int_equal(done, strlen(text));
    assert_true(CloseHandle(file));
}

static void test_dispositions(void **state)
{
    assert_open_fails(open_file("d", RW, 0, OPEN_EXISTING), ERROR_FILE_NOT_FOUND);
    assert_open_fails(open_file("none/d", RW, 0, OPEN_EXISTING), ERROR_PATH_NOT_FOUND);
    assert_open_fails(open_file("none/d", RW, 0, CREATE_NEW), ERROR_PATH_NOT_FOUND);
    HANDLE file = open_file("d", RW, 0, CREATE_NEW);
    assert_ptr_not_equal(file, INVALID_HANDLE_VALUE);
    assert_int_equal(ke_last_error(), ERROR_SUCCESS);
    assert_true(CloseHandle(file));
    assert_open_fails(open_file("d", RW, 0, CREATE_NEW), ERROR_FILE_EXISTS);
    /* The two that may find a file say so by the last error of a success. */
    assert_true(CloseHandle(open_file("d", RW, 0, OPEN_ALWAYS)));
    file = open_file("d", RW, 0, CREATE_ALWAYS);
    assert_int_equal(ke_last_error(), ERROR_ALREADY_EXISTS);
    assert_true(CloseHandle(file));
    assert_open_fails(open_file("d", GENERIC_READ, 0, TRUNCATE_EXISTING), ERROR_INVALID_PARAMETER);
    assert_open_fails(open_file("d", RW, 0, 0), ERROR_INVALID_PARAMETER);
    assert_open_fails(open_file("d", RW, 0, 6), ERROR_INVALID_PARAMETER);
    assert_open_fails(CreateFileA("", RW, 0, NULL, 3, 0, NULL), ERROR_PATH_NOT_FOUND);
    assert_open_fails(CreateFileA("a?b", RW, 0, NULL, 3, 0, NULL), ERROR_INVALID_NAME);
    assert_true(DeleteFileA(tempdir_path("d")));
    assert_fails(DeleteFileA(tempdir_path("d")), ERROR_FILE_NOT_FOUND);
}

static void test_reading_and_the_end(void **state)
{
    char buffer[32];
    DWORD done = 99;
    write_text("r", "hello, world");
    HANDLE file = open_file("r", GENERIC_READ, 0, OPEN_EXISTING);
    assert_true(ReadFile(file, buffer, 5, &done, NULL));
    assert_int_equal(done, 5);
    assert_true(ReadFile(file, buffer, 32, &done, NULL));
    assert_int_equal(done, 7);
    assert_true(ReadFile(file, buffer, 32, &done, NULL));
    assert_int_equal(done, 0); /* the end is a success without bytes ... */
    OVERLAPPED at = {.Offset = 12};
    assert_fails(ReadFile(file, buffer, 32, &done, &at), ERROR_HANDLE_EOF); /* ... but here */
    at.Offset = 7;
    assert_true(ReadFile(file, buffer, 5, &done, &at));
    assert_memory_equal(buffer, "world", 5);
    assert_int_equal(at.InternalHigh, 5);
    assert_fails(WriteFile(file, "x", 1, &done, NULL), ERROR_ACCESS_DENIED);
    assert_fails(ReadFile(file, NULL, 4, &done, &(OVERLAPPED){0}), ERROR_NOACCESS);
    assert_true(CloseHandle(file));
    assert_fails(ReadFile(file, buffer, 1, &done, NULL), ERROR_INVALID_HANDLE);
    assert_fails(CloseHandle(file), ERROR_INVALID_HANDLE);
}

static void test_position_and_size(void **state)
{
    LARGE_INTEGER size, now;
    LONG high = 0;
    DWORD size_high = 1;
    write_text("p", "0123456789");
    HANDLE file = open_file("p", RW, 0, OPEN_EXISTING);
    assert_int_equal(GetFileSize(file, &size_high), 10);
    assert_int_equal(size_high, 0);
    assert_int_equal(SetFilePointer(file, -3, NULL, 2), 7);
    assert_int_equal(SetFilePointer(file, 1, NULL, 1), 8);
    ke_set_last_error(0);
    assert_int_equal(SetFilePointer(file, -9, NULL, 1), 0xFFFFFFFF);
    assert_int_equal(ke_last_error(), ERROR_NEGATIVE_SEEK);
    assert_int_equal(SetFilePointer(file, 0, NULL, 3), 0xFFFFFFFF);
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    high = 1;
    assert_int_equal(SetFilePointer(file, 5, &high, 0), 5);
    assert_int_equal(high, 1);
    /* A position beyond 4 GiB does not fit into a call without the high half. */
    assert_int_equal(SetFilePointer(file, 1, NULL, 1), 0xFFFFFFFF);
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_true(SetFilePointerEx(file, (LARGE_INTEGER){.QuadPart = 0}, &now, 1));
    assert_true(now.QuadPart == 0x100000005);
    assert_int_equal(SetFilePointer(file, 4, NULL, 0), 4);
    assert_true(SetEndOfFile(file));
    assert_true(GetFileSizeEx(file, &size));
    assert_true(size.QuadPart == 4);
    assert_true(FlushFileBuffers(file));
    assert_true(CloseHandle(file));
    file = open_file("p", GENERIC_READ, 0, OPEN_EXISTING);
    assert_fails(SetEndOfFile(file), ERROR_ACCESS_DENIED);
    assert_fails(FlushFileBuffers(file), ERROR_ACCESS_DENIED);
    assert_true(CloseHandle(file));
}

static void test_sharing(void **state)
{
    write_text("s", "x");
    HANDLE file = open_file("s", GENERIC_READ, FILE_SHARE_READ, OPEN_EXISTING);
    /* What the first one does not share ... */
    assert_open_fails(open_file("s", GENERIC_WRITE, ALL_SHARED, OPEN_EXISTING),
                      ERROR_SHARING_VIOLATION);
    /* ... and what the second one does not share although the first one has it. */
    assert_open_fails(open_file("s", GENERIC_READ, 0, OPEN_EXISTING), ERROR_SHARING_VIOLATION);
    HANDLE second = open_file("s", GENERIC_READ, FILE_SHARE_READ, OPEN_EXISTING);
    assert_ptr_not_equal(second, INVALID_HANDLE_VALUE);
    /* Asking for attributes alone never conflicts. */
    HANDLE third = open_file("s", 0, 0, OPEN_EXISTING);
    assert_ptr_not_equal(third, INVALID_HANDLE_VALUE);
    assert_true(CloseHandle(third));
    assert_fails(DeleteFileA(tempdir_path("s")), ERROR_SHARING_VIOLATION);
    assert_true(CloseHandle(second));
    assert_true(CloseHandle(file));
    assert_true(DeleteFileA(tempdir_path("s")));
}

static void test_append(void **state)
{
    DWORD done;
    char buffer[8];
    write_text("a", "one");
    HANDLE file = open_file("a", FILE_APPEND_DATA, 0, OPEN_EXISTING);
    assert_true(WriteFile(file, "two", 3, &done, NULL));
    assert_true(CloseHandle(file));
    file = open_file("a", GENERIC_READ, 0, OPEN_EXISTING);
    assert_true(ReadFile(file, buffer, 8, &done, NULL));
    assert_int_equal(done, 6);
    assert_memory_equal(buffer, "onetwo", 6);
    assert_true(CloseHandle(file));
}

static void test_attributes(void **state)
{
    write_text("attr", "x");
    const char *path = tempdir_path("attr");
    assert_int_equal(GetFileAttributesA(path), FILE_ATTRIBUTE_ARCHIVE);
    assert_int_equal(GetFileAttributesA(tempdir), FILE_ATTRIBUTE_DIRECTORY);
    assert_true(SetFileAttributesA(path, FILE_ATTRIBUTE_READONLY));
    assert_int_equal(GetFileAttributesA(path), FILE_ATTRIBUTE_ARCHIVE | FILE_ATTRIBUTE_READONLY);
    /* Read-only binds everyone, root included. */
    assert_open_fails(open_file("attr", GENERIC_WRITE, 0, OPEN_EXISTING), ERROR_ACCESS_DENIED);
    assert_open_fails(open_file("attr", GENERIC_WRITE, 0, CREATE_ALWAYS), ERROR_ACCESS_DENIED);
    assert_fails(DeleteFileA(path), ERROR_ACCESS_DENIED);
    assert_true(SetFileAttributesA(path, FILE_ATTRIBUTE_NORMAL));
    assert_true(DeleteFileA(path));
    ke_set_last_error(0);
    assert_int_equal(GetFileAttributesA(path), 0xFFFFFFFF);
    assert_int_equal(ke_last_error(), ERROR_FILE_NOT_FOUND);
}

static void test_directories_need_backup_semantics(void **state)
{
    assert_open_fails(CreateFileA(tempdir, GENERIC_READ, ALL_SHARED, NULL, OPEN_EXISTING, 0, NULL),
                      ERROR_ACCESS_DENIED);
    HANDLE directory = CreateFileA(tempdir, GENERIC_READ, ALL_SHARED, NULL, OPEN_EXISTING,
                                   FILE_FLAG_BACKUP_SEMANTICS, NULL);
    assert_ptr_not_equal(directory, INVALID_HANDLE_VALUE);
    assert_int_equal(GetFileType(directory), FILE_TYPE_DISK);
    assert_true(CloseHandle(directory));
}

static void test_information(void **state)
{
    DWORD info[13];
    struct {
        int64_t allocation, end;
        DWORD links;
        BOOLEAN pending, directory;
    } standard;
    write_text("info", "12345");
    HANDLE file = open_file("info", RW, 0, OPEN_EXISTING);
    assert_true(GetFileInformationByHandle(file, info));
    assert_int_equal(info[0], FILE_ATTRIBUTE_ARCHIVE);
    assert_int_equal(info[9], 5);  /* size, low half */
    assert_int_equal(info[10], 1); /* links */
    assert_true(GetFileInformationByHandleEx(file, 1, &standard, 24));
    assert_int_equal(standard.end, 5);
    assert_int_equal(standard.links, 1);
    assert_false(standard.directory);
    assert_fails(GetFileInformationByHandleEx(file, 1, &standard, 8), 24);
    FILETIME set = {0xD53E8000, 0x019DB1DE}, got; /* 1970-01-01 */
    set.dwLowDateTime += 10000000;
    assert_true(SetFileTime(file, NULL, NULL, &set));
    assert_true(GetFileTime(file, NULL, NULL, &got));
    assert_memory_equal(&set, &got, sizeof(set));
    int64_t end = 2;
    assert_true(SetFileInformationByHandle(file, 6, &end, sizeof(end)));
    assert_int_equal(GetFileSize(file, NULL), 2);
    assert_true(CloseHandle(file));
}

static void test_delete_on_close(void **state)
{
    HANDLE file = CreateFileA(tempdir_path("gone"), RW, FILE_SHARE_DELETE, NULL, CREATE_NEW,
                              FILE_FLAG_DELETE_ON_CLOSE, NULL);
    assert_int_equal(GetFileAttributesA(tempdir_path("gone")), FILE_ATTRIBUTE_ARCHIVE);
    assert_true(CloseHandle(file));
    assert_int_equal(GetFileAttributesA(tempdir_path("gone")), 0xFFFFFFFF);
}

static void test_duplicates_share_the_position(void **state)
{
    HANDLE copy, self = (HANDLE)(intptr_t)-1;
    DWORD done;
    char c;
    write_text("dup", "ab");
    HANDLE file = open_file("dup", GENERIC_READ, 0, OPEN_EXISTING);
    assert_true(DuplicateHandle(self, file, self, &copy, 0, FALSE, 2));
    assert_true(ReadFile(file, &c, 1, &done, NULL));
    assert_true(CloseHandle(file));
    assert_true(ReadFile(copy, &c, 1, &done, NULL));
    assert_int_equal(c, 'b');
    assert_true(CloseHandle(copy));
}

static void test_pipe(void **state)
{
    HANDLE reader, writer;
    DWORD done;
    char buffer[8];
    assert_true(CreatePipe(&reader, &writer, NULL, 0));
    assert_int_equal(GetFileType(reader), FILE_TYPE_PIPE);
    assert_true(WriteFile(writer, "abc", 3, &done, NULL));
    assert_true(ReadFile(reader, buffer, 8, &done, NULL));
    assert_int_equal(done, 3);
    assert_true(CloseHandle(writer));
    assert_fails(ReadFile(reader, buffer, 8, &done, NULL), ERROR_BROKEN_PIPE);
    assert_true(CloseHandle(reader));
    assert_true(CreatePipe(&reader, &writer, NULL, 0));
    assert_true(CloseHandle(reader));
    assert_fails(WriteFile(writer, "abc", 3, &done, NULL), ERROR_NO_DATA); /* and no SIGPIPE */
    assert_true(CloseHandle(writer));
}

static void test_locks_belong_to_the_handle(void **state)
{
    write_text("lock", "0123456789");
    HANDLE one = open_file("lock", RW, ALL_SHARED, OPEN_EXISTING);
    HANDLE two = open_file("lock", RW, ALL_SHARED, OPEN_EXISTING);
    assert_true(LockFile(one, 0, 0, 5, 0));
    assert_fails(LockFile(two, 4, 0, 2, 0), ERROR_LOCK_VIOLATION);
    assert_true(LockFile(two, 5, 0, 0xFFFFFFFF, 0xFFFFFFFF));
    assert_true(UnlockFile(one, 0, 0, 5, 0));
    assert_true(LockFile(two, 0, 0, 2, 0));
    assert_true(CloseHandle(one));
    assert_true(CloseHandle(two));
}

static void test_nul_device(void **state)
{
    DWORD done = 9;
    char c;
    HANDLE nul = CreateFileA("NUL", RW, 0, NULL, OPEN_EXISTING, 0, NULL);
    assert_int_equal(GetFileType(nul), FILE_TYPE_CHAR);
    assert_true(WriteFile(nul, "x", 1, &done, NULL));
    assert_true(ReadFile(nul, &c, 1, &done, NULL));
    assert_int_equal(done, 0);
    assert_true(CloseHandle(nul));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dispositions),
        cmocka_unit_test(test_reading_and_the_end),
        cmocka_unit_test(test_position_and_size),
        cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_directories_need_backup_semantics),
        cmocka_unit_test(test_information),
        cmocka_unit_test(test_delete_on_close),
        cmocka_unit_test(test_duplicates_share_the_position),
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_locks_belong_to_the_handle),
        cmocka_unit_test(test_nul_device),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
