/*
 * Windows paths over a tree of files in a temporary directory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/ldr/path.h"
#include "tempdir.h"

/* cmocka widens by sign, and status constants are ints. */
#define assert_status(actual, expected) assert_int_equal((nt_status)(actual), (nt_status)(expected))

/*
 * tree:  Data/Readme.TXT  Data/case in six spellings  Data/dot.  link -> Data  file
 */
static int setup(void **state)
{
    if (tempdir_create() != 0)
        return -1;
    tempdir_mkdir("Data");
    tempdir_write("Data/Readme.TXT", "r", 1);
    tempdir_write("Data/case", "", 0);
    tempdir_write("Data/Case", "", 0);
    tempdir_write("Data/cAse", "", 0);
    tempdir_write("Data/caSe", "", 0);
    tempdir_write("Data/casE", "", 0);
    tempdir_write("Data/cASe", "", 0);
    tempdir_write("Data/dot.", "", 0);
    tempdir_write("Data/a\\b", "", 0);
    tempdir_write("Data/we:rd?", "", 0);
    tempdir_write("file", "", 0);
    return symlink("Data", tempdir_path("link"));
}

static int teardown(void **state)
{
    return tempdir_remove();
}

/* `windows` with "%T" standing for the temporary directory in Windows's spelling. */
static nt_status to_host(const char *windows, bool must_exist, char *out)
{
    char text[2 * PATH_MAX] = "";
    uint16_t wide[2 * PATH_MAX];
    for (const char *c = windows; *c != '\0'; c++) {
        size_t n = strlen(text);
        if (c[0] == '%' && c[1] == 'T') {
            for (const char *t = tempdir; *t != '\0'; t++)
                text[n++] = *t == '/' ? '\\' : *t;
            c++;
        } else {
            text[n++] = *c;
        }
        text[n] = '\0';
    }
    size_t length = ldr_utf8_to_utf16(text, strlen(text), wide, 2 * PATH_MAX);
    return ldr_path_to_host(wide, length, must_exist, out, PATH_MAX);
}

static void assert_host(const char *windows, const char *inside)
{
    char host[PATH_MAX];
    assert_status(to_host(windows, true, host), STATUS_SUCCESS);
    assert_string_equal(host, inside[0] ? tempdir_path(inside) : tempdir);
}

static void test_existing(void **state)
{
    assert_host("Z:%T\\Data\\Readme.TXT", "Data/Readme.TXT");
    assert_host("z:%T\\Data\\Readme.TXT", "Data/Readme.TXT");
    assert_host("C:%T\\DATA\\readme.txt", "Data/Readme.TXT");
    assert_host("%T\\data\\README.txt", "Data/Readme.TXT");
    assert_host("Z:%T/Data/Readme.TXT", "Data/Readme.TXT");
    assert_host("Z:%T\\\\Data//Readme.TXT", "Data/Readme.TXT");
    assert_host("Z:%T\\Data\\", "Data");
    assert_host("\\\\?\\Z:%T\\Data\\readme.txt", "Data/Readme.TXT");
    assert_host("\\\\.\\Z:%T\\Data\\readme.txt", "Data/Readme.TXT");
    assert_host("\\??\\C:%T\\Data\\readme.txt", "Data/Readme.TXT");
    assert_host("//?/C:%T/Data/readme.txt", "Data/Readme.TXT");
}

/* The exact spelling wins; else the answer must not depend on the order of the directory. */
static void test_case_choice(void **state)
{
    assert_host("Z:%T\\data\\case", "Data/case");
    assert_host("Z:%T\\data\\Case", "Data/Case");
    assert_host("Z:%T\\data\\CASE", "Data/Case");
}

static void test_dots(void **state)
{
    assert_host("Z:%T\\.\\Data\\..\\Data\\.", "Data");
    assert_host("Z:%T\\Data\\..", "");
    assert_host("Z:\\..\\..%T\\Data", "Data");
    assert_host("Z:%T\\link\\..\\Data", "Data"); /* in the text, not through the link */
    assert_host("Z:%T\\Data.\\Readme.TXT.", "Data/Readme.TXT");
    assert_host("Z:%T\\Data\\Readme.TXT. .", "Data/Readme.TXT");
    assert_host("Z:%T\\Data\\dot.", "Data/dot.");
}

static void test_root(void **state)
{
    char host[PATH_MAX];
    static const char *const roots[] = {"Z:\\", "C:/", "\\", "/", "\\\\?\\Z:\\", "\\\\?\\C:"};
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        assert_status(to_host(roots[i], true, host), STATUS_SUCCESS);
        assert_string_equal(host, "/");
    }
}

static void test_relative(void **state)
{
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(tempdir_path("Data")), 0);
    assert_host("readme.txt", "Data/Readme.TXT");
    assert_host(".\\readme.txt", "Data/Readme.TXT");
    assert_host("..\\FILE", "file");
    assert_host("Z:readme.txt", "Data/Readme.TXT"); /* relative to the drive's directory */
    assert_host("Z:", "Data");
    assert_host(".", "Data");
    assert_int_equal(chdir("/"), 0);
    char host[PATH_MAX];
    assert_status(to_host("proc", true, host), STATUS_SUCCESS);
    assert_string_equal(host, "/proc");
    assert_int_equal(chdir(before), 0);
}

static void test_failures(void **state)
{
    static const struct {
        const char *path;
        nt_status status;
    } rows[] = {
        {"", STATUS_OBJECT_PATH_NOT_FOUND},
        {"Z:%T\\nothing", STATUS_OBJECT_NAME_NOT_FOUND},
        {"Z:%T\\nothing\\", STATUS_OBJECT_NAME_NOT_FOUND},
        {"Z:%T\\nothing\\x", STATUS_OBJECT_PATH_NOT_FOUND},
        {"Z:%T\\file\\x", STATUS_OBJECT_PATH_NOT_FOUND},
        {"D:%T\\file", STATUS_OBJECT_PATH_NOT_FOUND},
        {"\\\\server\\share\\x", STATUS_OBJECT_PATH_NOT_FOUND},
        {"\\\\.\\pipe\\x", STATUS_OBJECT_NAME_NOT_FOUND},
        {"Z:%T\\what?", STATUS_OBJECT_NAME_INVALID},
        {"Z:%T\\a\tb", STATUS_OBJECT_NAME_INVALID},
        {"Z:%T\\file:stream", STATUS_OBJECT_NAME_INVALID},
    };
    char host[PATH_MAX];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_status(to_host(rows[i].path, true, host), rows[i].status);
    static const uint16_t nul[] = {'Z', ':', '\\', 'a', 0, 'b'};
    assert_status(ldr_path_to_host(nul, 6, false, host, sizeof(host)), STATUS_OBJECT_NAME_INVALID);
}

static void test_new_names(void **state)
{
    char host[PATH_MAX];
    assert_status(to_host("Z:%T\\data\\New File", false, host), STATUS_SUCCESS);
    assert_string_equal(host, tempdir_path("Data/New File"));
    assert_status(to_host("Z:%T\\data\\new. ", false, host), STATUS_SUCCESS);
    assert_string_equal(host, tempdir_path("Data/new"));
    assert_status(to_host("Z:%T\\data\\README.txt", false, host), STATUS_SUCCESS);
    assert_string_equal(host, tempdir_path("Data/Readme.TXT"));
    assert_status(to_host("Z:%T\\none\\new", false, host), STATUS_OBJECT_PATH_NOT_FOUND);
    assert_status(to_host("Z:%T\\file\\new", false, host), STATUS_OBJECT_PATH_NOT_FOUND);
    assert_status(to_host("Z:%T\\a|b", false, host), STATUS_OBJECT_NAME_INVALID);
    /* What Linux allows and Windows does not can be used where it is there already. */
    assert_status(to_host("Z:%T\\data\\we:rd?", false, host), STATUS_SUCCESS);
}

/* A buffer one byte too small is refused, and the byte behind the buffer stays. */
static void test_buffer_size(void **state)
{
    const char *path = tempdir_path("Data/Readme.TXT");
    char host[PATH_MAX];
    size_t length = strlen(path);
    for (size_t size = 0; size <= length; size++) {
        memset(host, '#', sizeof(host));
        assert_status(ldr_path_to_host_utf8(path, true, host, size), STATUS_BUFFER_TOO_SMALL);
        assert_int_equal(host[size], '#');
    }
    assert_status(ldr_path_to_host_utf8(path, true, host, length + 1), STATUS_SUCCESS);
    assert_string_equal(host, path);
}

static void test_hostile_lengths(void **state)
{
    enum { LENGTH = 32768 };
    static uint16_t wide[LENGTH];
    char host[PATH_MAX];
    for (size_t i = 0; i < LENGTH; i++)
        wide[i] = 'a';
    wide[0] = '\\';
    assert_status(ldr_path_to_host(wide, LENGTH, false, host, sizeof(host)),
                  STATUS_OBJECT_NAME_INVALID);
    assert_status(ldr_path_to_host(wide, 300, false, host, sizeof(host)),
                  STATUS_OBJECT_NAME_INVALID); /* one component of 299 */
    for (size_t i = 0; i < LENGTH; i++)
        wide[i] = i % 3 == 0 ? '\\' : '.'; /* \..\..\.. */
    assert_status(ldr_path_to_host(wide, 3000, false, host, sizeof(host)), STATUS_SUCCESS);
    assert_string_equal(host, "/");
}

static void assert_windows(const char *host, const char *windows)
{
    uint16_t wide[PATH_MAX];
    char text[PATH_MAX];
    size_t length = ldr_path_to_windows(host, wide, PATH_MAX);
    assert_int_equal(wide[length], 0);
    ldr_utf16_to_utf8(wide, length, text, sizeof(text));
    assert_string_equal(text, windows);
}

static void test_to_windows(void **state)
{
    char before[PATH_MAX];
    assert_windows("/", "Z:\\");
    assert_windows("/home/x/a.dll", "Z:\\home\\x\\a.dll");
    assert_windows("//home/./x/../y/", "Z:\\home\\y");
    assert_windows("/../..", "Z:\\");
    assert_windows("/\xC3\xA9", "Z:\\\xC3\xA9");
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir("/proc"), 0);
    assert_windows("self", "Z:\\proc\\self");
    assert_windows("../dev", "Z:\\dev");
    assert_int_equal(chdir(before), 0);
}

static void test_to_windows_sizes(void **state)
{
    uint16_t wide[8] = {9, 9, 9, 9, 9, 9, 9, 9};
    static char longer[2 * PATH_MAX];
    assert_int_equal(ldr_path_to_windows("/ab", NULL, 0), 5);
    assert_int_equal(ldr_path_to_windows("/ab", wide, 5), 5);
    assert_int_equal(wide[0], 9); /* nothing is written when it does not fit */
    assert_int_equal(ldr_path_to_windows("/ab", wide, 6), 5);
    assert_int_equal(wide[5], 0);
    memset(longer, 'a', sizeof(longer) - 1);
    assert_int_equal(ldr_path_to_windows(longer, wide, 8), 0);
}

static void test_find(void **state)
{
    char found[PATH_MAX], data[PATH_MAX];
    strcpy(data, tempdir_path("Data"));
    assert_true(ldr_path_find(data, "README.txt", found, sizeof(found)));
    assert_string_equal(found, tempdir_path("Data/Readme.TXT"));
    assert_true(ldr_path_find(tempdir_path("Data/"), "case", found, sizeof(found)));
    assert_string_equal(found, tempdir_path("Data/case"));
    assert_true(ldr_path_find("/", "proc", found, sizeof(found)));
    assert_string_equal(found, "/proc");
    assert_false(ldr_path_find(data, "none", found, sizeof(found)));
    assert_false(ldr_path_find(data, "", found, sizeof(found)));
    assert_false(ldr_path_find(data, ".", found, sizeof(found)));
    assert_false(ldr_path_find(data, "..", found, sizeof(found)));
    assert_false(ldr_path_find(data, "../file", found, sizeof(found)));
    assert_false(ldr_path_find(tempdir_path("none"), "file", found, sizeof(found)));
    assert_false(ldr_path_find(data, "case", found, strlen(data) + 5));
    assert_true(ldr_path_find(data, "case", found, strlen(data) + 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_existing),
        cmocka_unit_test(test_case_choice),
        cmocka_unit_test(test_dots),
        cmocka_unit_test(test_root),
        cmocka_unit_test(test_relative),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_new_names),
        cmocka_unit_test(test_buffer_size),
        cmocka_unit_test(test_hostile_lengths),
        cmocka_unit_test(test_to_windows),
        cmocka_unit_test(test_to_windows_sizes),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
