/*
 * The images of the builtin modules that were written when peldr was built are those that would be
 * written now.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/ldr/builtin_image.h"
#include "loader/peldr_api.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_image_is_what_would_be_written),
        cmocka_unit_test(functions_have_the_names_of_their_modules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
