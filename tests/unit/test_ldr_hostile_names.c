/*
 * Names that no sane linker writes, met on the way through a load: each ends in one clear sentence,
 * fit for a terminal, and leaves nothing loaded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../pebuild.h"
#include "loader/ldr/builtin.h"
#include "loader/ldr/ldr.h"

/* cmocka widens by sign, and status constants are ints. */
#define assert_status(actual, expected) assert_int_equal((nt_status)(actual), (nt_status)(expected))

#define DLL (PEBUILD_DLL | (sizeof(void *) == 8 ? PEBUILD_PE32_PLUS : 0))

static const struct ldr_builtin provider = {.name = "provider.dll"};

static int setup(void **state)
{
    return (int)ldr_builtin_register(&provider);
}

static nt_status load_importer(const char *module, const char *name, struct pe_error *err)
{
    struct pebuild *b = pebuild_new(DLL);
    struct pebuild_import import = {.module = module, .names = {name}};
    struct ldr_load_options options = {.name = "importer.dll"};
    struct ldr_module *loaded = NULL;
    pebuild_imports(b, &import, 1);
    uint8_t *bytes = pebuild_finish(b, &options.size);
    options.bytes = bytes;
    nt_status status = ldr_load(&options, &loaded, err);
    free(bytes);
    assert_null(ldr_find("importer.dll"));
    return status;
}

/* A head line and one for the import; no escape sequences; the importer named. */
static void assert_clear(const struct pe_error *err)
{
    int lines = 1;
    assert_non_null(strstr(err->text, "importer.dll"));
    for (const char *c = err->text; *c != '\0'; c++) {
        assert_true(*c == '\n' || ((unsigned char)*c >= 0x20 && *c != 0x7F));
        assert_true((unsigned char)*c < 0xF5); /* never part of UTF-8 */
        lines += *c == '\n';
    }
    assert_true(lines <= 2);
}

/* A name beyond PE_MAX_MODULENAME makes the import directory unreadable. */
static void assert_no_module(const char *module)
{
    struct pe_error err = {0};
    assert_status(load_importer(module, "f", &err), strlen(module) > PE_MAX_MODULENAME
                                                        ? STATUS_INVALID_IMAGE_FORMAT
                                                        : STATUS_DLL_NOT_FOUND);
    assert_clear(&err);
}

static void test_module_names(void **state)
{
    static const char *const modules[] = {
        "\x1B[2J.dll", "a\nb.dll", "\x7F", "none\x01.dll", "..",       "...",
        "../../none",  "\\\\?\\",  "Z:",   "\\\\host\\x",  "C:none",   "none/..",
        " ",           ".dll",     "%s%n", "api-\n-0",     "\xFF\xFE", "NUL\x1F"};
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
        assert_no_module(modules[i]);
}

static void test_long_module_names(void **state)
{
    static const size_t lengths[] = {255, 256, 257, 1023, 4095, 4096, 4097, 32767};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char *name = malloc(lengths[i] + 1);
        memset(name, 'a', lengths[i]);
        name[lengths[i]] = '\0';
        assert_no_module(name);
        for (size_t at = 0; at < lengths[i]; at++)
            name[at] = at % 3 == 2 ? '\\' : '.';
        assert_no_module(name);
        free(name);
    }
}

static void test_function_names(void **state)
{
    static const char *const names[] = {"\x1B]0;x\x07", "a\nb", "%n%s", "\xFF\xC3"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct pe_error err = {0};
        assert_status(load_importer("provider.dll", names[i], &err), STATUS_ENTRYPOINT_NOT_FOUND);
        assert_clear(&err);
        assert_non_null(strstr(err.text, "provider.dll"));
    }
}

static void test_long_function_name(void **state)
{
    struct pe_error err = {0};
    char *name = malloc(130000);
    memset(name, 'f', 129999);
    name[129999] = '\0';
    assert_status(load_importer("provider.dll", name, &err), STATUS_ENTRYPOINT_NOT_FOUND);
    assert_clear(&err);
    free(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_module_names),
        cmocka_unit_test(test_long_module_names),
        cmocka_unit_test(test_function_names),
        cmocka_unit_test(test_long_function_name),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
