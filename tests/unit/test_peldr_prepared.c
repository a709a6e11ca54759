/*
 * The images of the builtin modules that were written when peldr was built are those that would be
 * written now.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "loader/ldr/builtin_image.h"
#include "loader/peldr_api.h"
#include "tests/unit/tempdir.h"

/* Whatever the version of Windows. */
static void check_note(const struct ldr_prepared *prepared, const uint8_t *file)
{
    static const enum pe_windows versions[] = {PE_WINDOWS_XP, PE_WINDOWS_7, PE_WINDOWS_10};
    uint8_t *mapped = calloc(1, prepared->image_size), *note;
    uint32_t size;
    assert_non_null(mapped);
    memcpy(mapped, file, prepared->size);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        assert_int_equal(mm_section_note_inside(mapped, prepared->image_size, prepared->name,
                                                versions[i], &note, &size, NULL),
                         STATUS_SUCCESS);
        assert_int_equal(size, prepared->note_size);
        assert_memory_equal(note, prepared->note, size);
        free(note);
    }
    free(mapped);
}

static void compare(const struct ldr_builtin *builtin)
{
    struct ldr_builtin other = *builtin;
    uint8_t *prepared = NULL, *written = NULL;
    uint64_t prepared_size = 0, written_size = 0;
    other.prepared = NULL;
    assert_int_equal(ldr_builtin_image(builtin, &prepared, &prepared_size, NULL), STATUS_SUCCESS);
    assert_int_equal(ldr_builtin_image(&other, &written, &written_size, NULL), STATUS_SUCCESS);
    assert_int_equal(prepared_size, written_size);
    assert_memory_equal(prepared, written, written_size);
    check_note(builtin->prepared, prepared);
    free(prepared);
    free(written);
}

static void every_image_is_what_would_be_written(void **state)
{
    const struct ldr_builtin *builtin = NULL;
    size_t count = 0;
    peldr_begin();
    while ((builtin = ldr_builtin_next(builtin)) != NULL) {
        assert_non_null(builtin->prepared);
        compare(builtin);
        count++;
    }
    assert_int_equal(count, peldr_prepared_count);
    assert_true(count > 10);
}

static void functions_have_the_names_of_their_modules(void **state)
{
    const struct ldr_builtin *builtin;
    peldr_begin();
    builtin = ldr_builtin_find("kernel32");
    assert_non_null(builtin);
    struct ldr_row_ref first = builtin->prepared->functions[0];
    const struct ldr_builtin_export *row = builtin->row(first);
    assert_string_equal(ldr_builtin_function_name(builtin, (uintptr_t)row->address), row->name);
    assert_null(ldr_builtin_function_name(builtin, (uintptr_t)&first));
}

/* ---- the command, which is bound when it was linked ---------------------------------------------
 */

struct file {
    uint8_t *bytes;
    size_t size;
};

static struct file read_file(const char *path)
{
    struct file file;
    struct stat st;
    FILE *in = fopen(path, "re");
    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &st), 0);
    file.size = (size_t)st.st_size;
    file.bytes = malloc(file.size);
    assert_non_null(file.bytes);
    assert_int_equal(fread(file.bytes, 1, file.size, in), file.size);
    fclose(in);
    return file;
}

static bool same_content(const char *a, const char *b)
{
    struct file first = read_file(a), second = read_file(b);
    bool same = first.size == second.size && memcmp(first.bytes, second.bytes, first.size) == 0;
    free(first.bytes);
    free(second.bytes);
    return same;
}

static bool lies_at_fixed_address(const char *path)
{
    struct file file = read_file(path);
    uint16_t type;
    memcpy(&type, file.bytes + offsetof(Elf32_Ehdr, e_type), sizeof type);
    free(file.bytes);
    return type == ET_EXEC;
}

/* Whoever is bound writes the same once more; the program that the linker has written is another.
 */
static void the_command_knows_its_functions(void **state)
{
    const char *command = getenv("PELDR_TEST_COMMAND");
    char line[8192], linked[2048], again[2048];
    assert_non_null(command);
    snprintf(linked, sizeof linked, "%.*sunbound%s", (int)(strrchr(command, '/') + 1 - command),
             command, sizeof(void *) == 4 ? "32" : "");
    snprintf(again, sizeof again, "%s", tempdir_path("again"));
    snprintf(line, sizeof line, "'%s' --bind '%s' && '%s' --version >/dev/null", command, again,
             again);
    assert_int_equal(system(line), 0);
    assert_true(same_content(command, again));
    assert_int_equal(!same_content(command, linked), lies_at_fixed_address(linked));
}

static int set_up(void **state)
{
    return tempdir_create();
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_image_is_what_would_be_written),
        cmocka_unit_test(functions_have_the_names_of_their_modules),
        cmocka_unit_test(the_command_knows_its_functions),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
