/*
 * Path names, directories and searches.
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

struct find_data {
    DWORD attributes;
    FILETIME times[3];
    DWORD size_high, size_low, reserved[2];
    char name[260], short_name[14];
};

K32(GetFullPathNameA, DWORD, const char *name, DWORD size, char *buffer, char **part)
K32(GetFullPathNameW, DWORD, const WCHAR *name, DWORD size, WCHAR *buffer, WCHAR **part)
K32(GetTempPathA, DWORD, DWORD size, char *buffer)
K32(GetTempFileNameA, UINT, const char *directory, const char *prefix, UINT unique, char *out)
K32(GetCurrentDirectoryA, DWORD, DWORD size, char *buffer)
K32(SetCurrentDirectoryA, BOOL, const char *name)
K32(CreateDirectoryA, BOOL, const char *name, void *security)
K32(RemoveDirectoryA, BOOL, const char *name)
K32(MoveFileA, BOOL, const char *from, const char *to)
K32(MoveFileExA, BOOL, const char *from, const char *to, DWORD flags)
K32(CopyFileA, BOOL, const char *from, const char *to, BOOL fail_if_exists)
K32(DeleteFileA, BOOL, const char *name)
K32(GetFileAttributesA, DWORD, const char *name)
K32(FindFirstFileA, HANDLE, const char *name, struct find_data *data)
K32(FindNextFileA, BOOL, HANDLE search, struct find_data *data)
K32(FindClose, BOOL, HANDLE search)
K32(CloseHandle, BOOL, HANDLE handle)

static int setup(void **state)
{
    return win32_test_setup(state) || tempdir_create() || chdir(tempdir);
}

static int teardown(void **state)
{
    return chdir("/") || tempdir_remove();
}

static void touch(const char *name)
{
    FILE *file = fopen(tempdir_path(name), "w");
    assert_non_null(file);
    fputs("x", file);
    fclose(file);
}

static void test_full_paths(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"C:\\a\\b", "C:\\a\\b"},
        {"C:/a//b\\", "C:\\a\\b\\"},
        {"C:\\a\\.\\b\\..\\c", "C:\\a\\c"},
        {"C:\\..\\..\\x", "C:\\x"},
        {"C:\\a\\..", "C:\\"},
        {"C:\\a. ", "C:\\a"},
        {"C:\\a.b.", "C:\\a.b"},
        {"\\\\server\\share\\..\\x", "\\\\server\\share\\x"},
        {"\\\\?\\C:\\a\\..\\b", "\\\\?\\C:\\a\\..\\b"},
        {"nul", "\\\\.\\nul"},
        {"C:\\dir\\CON", "\\\\.\\CON"},
    };
    char buffer[260], *part;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        assert_int_equal(GetFullPathNameA(rows[i].in, 260, buffer, NULL), strlen(rows[i].out));
        assert_string_equal(buffer, rows[i].out);
    }
    assert_int_equal(GetFullPathNameA("C:\\dir\\name", 260, buffer, &part), 11);
    assert_string_equal(part, "name");
    GetFullPathNameA("C:\\dir\\", 260, buffer, &part);
    assert_null(part);
    assert_int_equal(GetFullPathNameA("C:\\dir", 6, buffer, NULL), 7); /* with the NUL */
}

static void test_relative_paths(void **state)
{
    char current[260], buffer[260], expected[600];
    DWORD length = GetCurrentDirectoryA(260, current);
    assert_in_range(length, 4, 259);
    assert_int_equal(current[1], ':');
    assert_int_equal(GetCurrentDirectoryA(3, buffer), length + 1);
    GetFullPathNameA("x\\y", 260, buffer, NULL);
    snprintf(expected, sizeof(expected), "%s\\x\\y", current);
    assert_string_equal(buffer, expected);
    GetFullPathNameA("\\x", 260, buffer, NULL);
    snprintf(expected, sizeof(expected), "%.2s\\x", current);
    assert_string_equal(buffer, expected);
}

static void test_directories(void **state)
{
    assert_true(CreateDirectoryA("dir", NULL));
    assert_fails(CreateDirectoryA("dir", NULL), ERROR_ALREADY_EXISTS);
    assert_fails(CreateDirectoryA("none\\dir", NULL), ERROR_PATH_NOT_FOUND);
    touch("dir/f");
    assert_fails(RemoveDirectoryA("dir"), ERROR_DIR_NOT_EMPTY);
    assert_fails(RemoveDirectoryA("dir\\f"), ERROR_DIRECTORY);
    assert_fails(SetCurrentDirectoryA("dir\\f"), ERROR_DIRECTORY);
    assert_fails(DeleteFileA("dir"), ERROR_ACCESS_DENIED);
    /* Names are found whatever their case. */
    assert_int_equal(GetFileAttributesA("DIR\\F"), FILE_ATTRIBUTE_ARCHIVE);
    assert_true(DeleteFileA("Dir\\F"));
    assert_true(RemoveDirectoryA("dir"));
    assert_fails(RemoveDirectoryA("dir"), ERROR_FILE_NOT_FOUND);
}

static void test_moving_and_copying(void **state)
{
    touch("m1");
    touch("m2");
    assert_fails(MoveFileA("m1", "m2"), ERROR_ALREADY_EXISTS);
    assert_fails(MoveFileA("none", "m3"), ERROR_FILE_NOT_FOUND);
    assert_true(MoveFileExA("m1", "m2", 1));
    assert_int_equal(GetFileAttributesA("m1"), 0xFFFFFFFF);
    assert_true(CopyFileA("m2", "m3", TRUE));
    assert_fails(CopyFileA("m2", "m3", TRUE), ERROR_FILE_EXISTS);
    assert_true(CopyFileA("m2", "m3", FALSE));
    assert_true(DeleteFileA("m2"));
    assert_true(DeleteFileA("m3"));
}

static void test_temporary_names(void **state)
{
    char path[260], name[260];
    setenv("PELDR_UNUSED", "x", 1);
    DWORD length = GetTempPathA(260, path);
    assert_in_range(length, 3, 259);
    assert_int_equal(path[length - 1], '\\');
    UINT unique = GetTempFileNameA(".", "abcdef", 0, name);
    assert_int_not_equal(unique, 0);
    assert_memory_equal(name, ".\\abc", 5);
    assert_string_equal(name + strlen(name) - 4, ".TMP");
    assert_int_equal(GetFileAttributesA(name), FILE_ATTRIBUTE_ARCHIVE); /* it was made */
    assert_true(DeleteFileA(name));
    assert_int_equal(GetTempFileNameA(".", "p", 0x1234, name), 0x1234);
    assert_string_equal(name, ".\\p1234.TMP");
    assert_int_equal(GetFileAttributesA(name), 0xFFFFFFFF); /* it was not */
}

/* The names of a search, joined by spaces. */
static const char *search(const char *pattern)
{
    static char names[1024];
    struct find_data data;
    HANDLE handle = FindFirstFileA(pattern, &data);
    names[0] = 0;
    if (handle == INVALID_HANDLE_VALUE)
        return "";
    do {
        if (names[0])
            strcat(names, " ");
        strcat(names, data.name);
    } while (FindNextFileA(handle, &data));
    assert_int_equal(ke_last_error(), ERROR_NO_MORE_FILES);
    assert_true(FindClose(handle));
    return names;
}

static void test_searches(void **state)
{
    struct find_data data;
    assert_true(CreateDirectoryA("s", NULL));
    touch("s/b.txt");
    touch("s/A.TXT");
    touch("s/noext");
    touch("s/c.tar.gz");
    assert_string_equal(search("s\\*"), ". .. A.TXT b.txt c.tar.gz noext");
    assert_string_equal(search("s\\*.*"), ". .. A.TXT b.txt c.tar.gz noext");
    assert_string_equal(search("s\\*.txt"), "A.TXT b.txt");
    assert_string_equal(search("s\\*."), ". .. noext");
    assert_string_equal(search("s\\?.txt"), "A.TXT b.txt");
    assert_string_equal(search("s\\c*.gz"), "c.tar.gz");
    assert_string_equal(search("s\\b.TXT"), "b.txt");
    assert_string_equal(search("s\\noext.*"), "noext");
    assert_string_equal(search("s\\x*"), "");
    assert_int_equal(ke_last_error(), ERROR_FILE_NOT_FOUND);
    assert_string_equal(search("none\\*"), "");
    assert_int_equal(ke_last_error(), ERROR_PATH_NOT_FOUND);
    assert_string_equal(search("s\\"), "");
    assert_int_equal(ke_last_error(), ERROR_FILE_NOT_FOUND);
    HANDLE handle = FindFirstFileA("s\\b.txt", &data);
    assert_int_equal(data.attributes, FILE_ATTRIBUTE_ARCHIVE);
    assert_int_equal(data.size_low, 1);
    assert_true(FindClose(handle));
    assert_fails(FindClose(handle), ERROR_INVALID_HANDLE);
    assert_fails(FindNextFileA(INVALID_HANDLE_VALUE, &data), ERROR_INVALID_HANDLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_paths),      cmocka_unit_test(test_relative_paths),
        cmocka_unit_test(test_directories),     cmocka_unit_test(test_moving_and_copying),
        cmocka_unit_test(test_temporary_names), cmocka_unit_test(test_searches),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
