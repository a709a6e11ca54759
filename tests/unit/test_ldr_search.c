/*
 * Where a module comes from: name rules, the order of the directories, flags, builtin modules,
 * files of another machine (facts 3.1 to 3.3 and 3.6).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/ldr/builtin.h"
#include "loader/ldr/ldr.h"
#include "loader/ldr/path.h"
#include "loader/ldr/search.h"
#include "tempdir.h"

/* cmocka widens by sign, and status constants are ints. */
#define assert_status(actual, expected) assert_int_equal((nt_status)(actual), (nt_status)(expected))

#define AMD64 0x8664
#define I386  0x14C

static char resolved[PATH_MAX], searched[8 * PATH_MAX];

static const struct ldr_builtin kernel32 = {.name = "KERNEL32.dll"};
static const struct ldr_builtin ucrtbase = {.name = "ucrtbase.dll"};
static const struct ldr_builtin host_exe = {.name = "host.exe"};

/* As much of a PE file as names its machine. */
static void write_image(const char *name, uint16_t machine)
{
    uint8_t bytes[128] = "MZ";
    bytes[60] = 64;
    memcpy(bytes + 64, "PE\0\0", 4);
    bytes[68] = (uint8_t)machine;
    bytes[69] = (uint8_t)(machine >> 8);
    tempdir_write(name, bytes, sizeof(bytes));
}

static const char *const directories[] = {"app", "imp", "set", "user", "env", "env2", "cwd"};

/* every directory: all.dll; each one: in_<directory>.dll */
static int setup(void **state)
{
    if (tempdir_create() != 0)
        return -1;
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        char name[64];
        tempdir_mkdir(directories[i]);
        snprintf(name, sizeof(name), "%s/all.dll", directories[i]);
        write_image(name, AMD64);
        snprintf(name, sizeof(name), "%s/In_%s.dll", directories[i], directories[i]);
        write_image(name, AMD64);
    }
    write_image("app/kernel32.dll", AMD64);
    write_image("app/noext", AMD64);
    write_image("app/dotted.x.dll", AMD64);
    write_image("app/mixed.dll", I386);
    write_image("user/mixed.dll", AMD64);
    write_image("app/shell32.dll", AMD64);
    write_image("app/prog.exe", AMD64);
    write_image("app/host.exe", AMD64);
    tempdir_write("app/text.dll", "no image", 8);
    tempdir_mkdir("app/folder.dll");
    write_image("cwd/folder.dll", AMD64);
    char env[4 * PATH_MAX];
    snprintf(env, sizeof(env), ":%s:%s/none:%s", tempdir_path("env"), tempdir,
             tempdir_path("env2"));
    setenv("PELDR_PATH", env, 1);
    if (chdir(tempdir_path("cwd")) != 0)
        return -1;
    ldr_search_set_application_dir(tempdir_path("app"));
    return ldr_add_directory(tempdir_path("user"), NULL) | ldr_builtin_register(&kernel32) |
           ldr_builtin_register(&ucrtbase) | ldr_builtin_register(&host_exe);
}

static int teardown(void **state)
{
    return chdir("/") | tempdir_remove();
}

static enum ldr_found resolve(const char *name, const char *importer, uint32_t flags,
                              uint16_t machine)
{
    return ldr_resolve(name, importer, flags, machine, resolved, sizeof(resolved), searched,
                       sizeof(searched));
}

static void assert_file(const char *name, const char *importer, uint32_t flags, const char *inside)
{
    assert_int_equal(resolve(name, importer, flags, 0), LDR_FOUND_FILE);
    assert_string_equal(resolved, tempdir_path(inside));
}

static void assert_builtin(const char *name, uint32_t flags, const char *builtin)
{
    assert_int_equal(resolve(name, NULL, flags, 0), LDR_FOUND_BUILTIN);
    assert_string_equal(resolved, builtin);
}

static void assert_nothing(const char *name, const char *importer, uint32_t flags)
{
    assert_int_equal(resolve(name, importer, flags, 0), LDR_FOUND_NOTHING);
    assert_string_equal(resolved, "");
}

/* `expected`: directories by name, separated by blanks. */
static void assert_searched(const char *expected)
{
    char lines[8 * PATH_MAX] = "";
    char copy[256], *rest = NULL;
    strcpy(copy, expected);
    for (char *dir = strtok_r(copy, " ", &rest); dir; dir = strtok_r(NULL, " ", &rest)) {
        strcat(lines, lines[0] ? "\n" : "");
        strcat(lines, tempdir_path(dir));
    }
    assert_string_equal(searched, lines);
}

static void test_default_order(void **state)
{
    char importer[PATH_MAX];
    strcpy(importer, tempdir_path("imp"));
    assert_nothing("missing.dll", importer, 0);
    assert_searched("app imp user env none env2 cwd");
    assert_file("all.dll", importer, 0, "app/all.dll");
    assert_file("in_imp.dll", importer, 0, "imp/In_imp.dll");
    assert_searched("app imp");
    assert_file("in_user.dll", NULL, 0, "user/In_user.dll");
    assert_file("in_env.dll", NULL, 0, "env/In_env.dll");
    assert_file("in_env2.dll", NULL, 0, "env2/In_env2.dll");
    assert_file("in_cwd.dll", NULL, 0, "cwd/In_cwd.dll");
    assert_nothing("in_imp.dll", NULL, 0);
}

static void test_each_directory_once(void **state)
{
    char importer[PATH_MAX];
    strcpy(importer, tempdir_path("user"));
    assert_nothing("missing.dll", importer, 0);
    assert_searched("app user env none env2 cwd");
}

static void test_altered_search(void **state)
{
    char importer[PATH_MAX];
    strcpy(importer, tempdir_path("imp"));
    assert_nothing("missing.dll", importer, LDR_ALTERED_SEARCH);
    assert_searched("imp user env none env2 cwd");
    assert_nothing("missing.dll", NULL, LDR_ALTERED_SEARCH);
    assert_searched("app user env none env2 cwd");
}

static void test_search_flags(void **state)
{
    char importer[PATH_MAX];
    strcpy(importer, tempdir_path("imp"));
    assert_nothing("missing.dll", importer, LDR_SEARCH_DLL_LOAD_DIR);
    assert_searched("imp");
    assert_nothing("missing.dll", importer, LDR_SEARCH_APPLICATION_DIR);
    assert_searched("app");
    assert_nothing("missing.dll", importer, LDR_SEARCH_USER_DIRS);
    assert_searched("user env none env2");
    assert_nothing("missing.dll", importer, LDR_SEARCH_SYSTEM32);
    assert_searched("");
    assert_nothing("missing.dll", importer, LDR_SEARCH_DEFAULT_DIRS);
    assert_searched("app user env none env2");
    assert_nothing("missing.dll", importer, LDR_SEARCH_DEFAULT_DIRS | LDR_SEARCH_DLL_LOAD_DIR);
    assert_searched("imp app user env none env2");
}

static void test_default_flags(void **state)
{
    char importer[PATH_MAX];
    strcpy(importer, tempdir_path("imp"));
    ldr_set_default_flags(LDR_SEARCH_APPLICATION_DIR | LDR_SEARCH_SYSTEM32);
    assert_nothing("missing.dll", importer, 0);
    assert_searched("app");
    assert_nothing("missing.dll", importer, LDR_SEARCH_USER_DIRS); /* the call's own flags win */
    assert_searched("user env none env2");
    assert_nothing("missing.dll", importer, LDR_ALTERED_SEARCH);
    assert_searched("imp app");
    ldr_set_default_flags(0);
    assert_nothing("missing.dll", NULL, 0);
    assert_searched("app user env none env2 cwd");
}

/* SetDllDirectory: after the application directory, and the current directory is dropped. */
static void test_dll_directory(void **state)
{
    assert_int_equal(ldr_set_dll_directory(tempdir_path("set")), STATUS_SUCCESS);
    assert_file("in_set.dll", NULL, 0, "set/In_set.dll");
    assert_nothing("in_cwd.dll", NULL, 0);
    assert_searched("app set user env none env2");
    assert_nothing("missing.dll", NULL, LDR_SEARCH_USER_DIRS);
    assert_searched("set user env none env2");
    assert_int_equal(ldr_set_dll_directory(""), STATUS_SUCCESS);
    assert_nothing("in_cwd.dll", NULL, 0);
    assert_searched("app user env none env2");
    assert_int_equal(ldr_set_dll_directory(NULL), STATUS_SUCCESS);
    assert_file("in_cwd.dll", NULL, 0, "cwd/In_cwd.dll");
}

static void test_add_directory(void **state)
{
    struct pe_error err = {0};
    assert_status(ldr_add_directory(tempdir_path("nowhere"), &err), STATUS_OBJECT_PATH_NOT_FOUND);
    assert_non_null(strstr(err.text, "nowhere"));
    err = (struct pe_error){0};
    assert_status(ldr_add_directory(tempdir_path("app/text.dll"), &err),
                  STATUS_OBJECT_PATH_NOT_FOUND);
    assert_non_null(strstr(err.text, "text.dll"));
    assert_int_equal(ldr_add_directory("../user", NULL), STATUS_SUCCESS); /* there already */
    assert_nothing("missing.dll", NULL, LDR_SEARCH_USER_DIRS);
    assert_searched("user env none env2");
}

static void test_names(void **state)
{
    assert_file("ALL", NULL, 0, "app/all.dll");
    assert_file("all.DLL", NULL, 0, "app/all.dll");
    assert_file("all.dll  ", NULL, 0, "app/all.dll");
    assert_file("all.dll.", NULL, 0, "app/all.dll");
    assert_file("noext.", NULL, 0, "app/noext"); /* a dot at the end suppresses the extension */
    assert_nothing("noext", NULL, 0);
    assert_nothing("all.", NULL, 0);
    assert_nothing("dotted.x", NULL, 0); /* ".x" is an extension */
    assert_file("dotted.x.dll", NULL, 0, "app/dotted.x.dll");
    assert_file("prog", NULL, LDR_EXE, "app/prog.exe");
    assert_file("host.exe", NULL, LDR_EXE, "app/host.exe"); /* a program is no builtin */
}

static void test_builtin_modules(void **state)
{
    assert_builtin("kernel32.dll", 0, "KERNEL32.dll");
    assert_builtin("Kernel32", 0, "KERNEL32.dll");
    assert_builtin("host.exe", 0, "host.exe");
    assert_builtin("kernel32", LDR_SEARCH_APPLICATION_DIR, "KERNEL32.dll"); /* as KnownDLLs */
    assert_file("kernel32.dll", NULL, LDR_PREFER_NATIVE, "app/kernel32.dll");
    assert_builtin("ucrtbase.dll", LDR_PREFER_NATIVE, "ucrtbase.dll");
    assert_builtin("C:\\Windows\\System32\\kernel32.dll", 0, "KERNEL32.dll");
    assert_builtin("c:/windows/SysWOW64/KERNEL32", 0, "KERNEL32.dll");
    assert_builtin("\\\\?\\C:\\WINDOWS\\system32\\ucrtbase.dll", 0, "ucrtbase.dll");
    assert_nothing("C:\\Windows\\System32\\nothing.dll", NULL, 0);
    assert_nothing("C:\\Windows\\kernel32.dll", NULL, 0);
}

static void test_api_sets(void **state)
{
    assert_builtin("api-ms-win-crt-runtime-l1-1-0.dll", 0, "ucrtbase.dll");
    assert_builtin("API-MS-WIN-CORE-ATOMS-L1-1-9", 0, "KERNEL32.dll");
    /* The host is searched for as any module. */
    assert_int_equal(ldr_resolve("api-ms-win-shell-shellfolders-l1-1-0", NULL, 0, 0, resolved,
                                 sizeof(resolved), NULL, 0),
                     LDR_FOUND_FILE);
    assert_string_equal(resolved, tempdir_path("app/shell32.dll"));
    assert_nothing("api-ms-win-deprecated-apis-legacy-l1-1-0.dll", NULL, 0);
    assert_non_null(strstr(searched, "API set"));
}

static void test_machines(void **state)
{
    assert_int_equal(resolve("mixed.dll", NULL, 0, AMD64), LDR_FOUND_FILE);
    assert_string_equal(resolved, tempdir_path("user/mixed.dll"));
    char line[2 * PATH_MAX];
    snprintf(line, sizeof(line), "%s (mixed.dll there is for i386)\n", tempdir_path("app"));
    assert_memory_equal(searched, line, strlen(line));
    assert_int_equal(resolve("mixed.dll", NULL, 0, I386), LDR_FOUND_FILE);
    assert_string_equal(resolved, tempdir_path("app/mixed.dll"));
    assert_file("mixed.dll", NULL, 0, "app/mixed.dll");
    /* What is no image ends the search, as on Windows: the loader says what is wrong with it. */
    assert_int_equal(resolve("text.dll", NULL, 0, AMD64), LDR_FOUND_FILE);
}

static void test_directory_is_no_module(void **state)
{
    assert_file("folder.dll", NULL, 0, "cwd/folder.dll");
}

static void test_paths(void **state)
{
    char path[2 * PATH_MAX];
    assert_file(tempdir_path("env/all.dll"), NULL, 0, "env/all.dll");
    assert_file(tempdir_path("env/all"), NULL, 0, "env/all.dll");
    assert_file(tempdir_path("ENV/ALL.DLL"), NULL, 0, "env/all.dll");
    assert_file(tempdir_path("app/noext"), NULL, 0, "app/noext");
    assert_file("..\\env\\all.dll", NULL, 0, "env/all.dll");
    assert_file("./ALL.dll", NULL, 0, "cwd/all.dll");
    snprintf(path, sizeof(path), "Z:%s", tempdir_path("env\\all.dll"));
    assert_file(path, NULL, 0, "env/all.dll");
    assert_file(tempdir_path("app/kernel32.dll"), NULL, 0,
                "app/kernel32.dll"); /* that file alone */
    assert_nothing(tempdir_path("env/in_app.dll"), NULL, 0);
    assert_searched("env");
}

static void test_hostile_names(void **state)
{
    enum { LENGTH = 32767 };
    static char name[LENGTH + 1];
    assert_nothing("", NULL, 0);
    assert_string_equal(searched, "the module name is empty");
    assert_nothing("a\x01.dll", NULL, 0);
    assert_string_equal(searched, "the module name holds control characters");
    assert_nothing("all.dll\n", NULL, 0);
    assert_string_equal(searched, "the module name holds control characters");
    memset(name, 'a', LENGTH);
    assert_nothing(name, NULL, 0);
    assert_string_equal(searched, "the module name is longer than any path");
    name[300] = '\0';
    assert_nothing(name, NULL, 0);
    assert_string_equal(searched, "the module name is longer than a file name can be");
    static const char *const odd[] = {".",  "..",   "...", " ",       "/",
                                      "\\", "..\\", "Z:",  "\\\\?\\", "::"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        assert_nothing(odd[i], NULL, 0);
}

static void test_small_buffers(void **state)
{
    char small[8], lines[PATH_MAX];
    memset(small, '#', sizeof(small));
    assert_int_equal(ldr_resolve("all.dll", NULL, 0, 0, small, 4, NULL, 0), LDR_FOUND_NOTHING);
    assert_int_equal(small[0], '\0');
    assert_int_equal(small[4], '#');
    /* Lines that do not fit are left out as a whole. */
    size_t first = strlen(tempdir_path("app"));
    assert_int_equal(
        ldr_resolve("missing.dll", NULL, 0, 0, resolved, sizeof(resolved), lines, first + 3),
        LDR_FOUND_NOTHING);
    assert_string_equal(lines, tempdir_path("app"));
}

static void test_application_dir(void **state)
{
    char expected[PATH_MAX];
    ldr_search_set_application_dir(NULL);
    ssize_t length = readlink("/proc/self/exe", expected, sizeof(expected) - 1);
    assert_true(length > 0);
    expected[length] = '\0';
    *strrchr(expected, '/') = '\0';
    assert_string_equal(ldr_search_application_dir(), expected);
    ldr_search_set_application_dir(tempdir_path("app"));
    assert_string_equal(ldr_search_application_dir(), tempdir_path("app"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_order),   cmocka_unit_test(test_each_directory_once),
        cmocka_unit_test(test_altered_search),  cmocka_unit_test(test_search_flags),
        cmocka_unit_test(test_default_flags),   cmocka_unit_test(test_dll_directory),
        cmocka_unit_test(test_add_directory),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_builtin_modules), cmocka_unit_test(test_api_sets),
        cmocka_unit_test(test_machines),        cmocka_unit_test(test_directory_is_no_module),
        cmocka_unit_test(test_paths),           cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_small_buffers),   cmocka_unit_test(test_application_dir),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
