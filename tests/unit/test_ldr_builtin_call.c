/*
 * Images of builtin modules in memory: functions and traps called through their thunks, at the
 * preferred base and after a relocation; DATA exports bound to writable memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/ldr.h"
#include "pe/exports.h"

/* cmocka widens by sign, and status constants are ints. */
#define assert_status(actual, expected) assert_int_equal((nt_status)(actual), (nt_status)(expected))

static int WINAPI_DEF sample_Subtract(int a, int b, int c, int d, int e)
{
    return a - b * 2 - c * 3 - d * 4 - e * 5;
}

static double WINCDECL_DEF sample_Scale(double x, int y)
{
    return x * y;
}

static int *counter;
static int *spare;

static const struct ldr_builtin_export list[] = {
    LDR_FN(sample_, Subtract),
    LDR_FN(sample_, Scale),
    LDR_DATA(counter, sizeof(int), &counter),
    {.ordinal = 40, .kind = LDR_EXPORT_DATA, .size = 4, .location = (void **)&spare},
};
static const struct ldr_builtin_family family = {list, sizeof(list) / sizeof(list[0])};
static const char *const names[] = {"Missing", "Scale", "Subtract", "Unwritten"};
static const struct ldr_builtin sample = {
    .name = "SAMPLE.dll",
    .preferred_base = 0x66000000,
    .families = &family,
    .family_count = 1,
    .names = names,
    .name_count = 4,
};

static struct mm_view *view;
static struct pe_exports exports;

static void map_at(uint64_t base)
{
    struct pe_error err = {0};
    struct mm_section *section = NULL;
    struct mm_map_options options = {.base = base, .shared_fd = -1, .below_4gib = true};
    struct reloc_plan plan;
    uint8_t *bytes;
    uint64_t size;
    assert_status(ldr_builtin_image(&sample, &bytes, &size, &err), STATUS_SUCCESS);
    assert_status(mm_section_create_image_from_memory(bytes, size, "SAMPLE.dll", PE_WINDOWS_10,
                                                      &section, &err),
                  STATUS_SUCCESS);
    free(bytes);
    assert_true(nt_ok(mm_view_map(section, &options, &view, NULL, 0, &err)));
    mm_section_unref(section);
    const struct pe_image *image = mm_view_image(view);
    assert_status(reloc_plan(image, mm_view_base(view), NULL, 0, &plan, &err), STATUS_SUCCESS);
    if (plan.outcome == RELOC_APPLIED)
        assert_status(reloc_apply(image, plan.delta, NULL, NULL, &plan, &err), STATUS_SUCCESS);
    assert_status(mm_view_seal(view, &err), STATUS_SUCCESS);
    ldr_builtin_bind(&sample, image);
    assert_true(pe_exports_open(image, &exports));
}

static int map_preferred(void **state)
{
    map_at(0);
    return 0;
}

static int map_elsewhere(void **state)
{
    map_at(0x67770000);
    return mm_view_base(view) == sample.preferred_base;
}

static int unmap(void **state)
{
    mm_view_unmap(view);
    return 0;
}

static void *address_of(const char *name)
{
    struct pe_export found;
    assert_true(
        pe_export_by_name(&exports, (struct pe_str){name, (uint32_t)strlen(name)}, 0, &found));
    return (void *)(uintptr_t)(mm_view_base(view) + found.rva);
}

static void test_functions(void **state)
{
    int(WINAPI * subtract)(int, int, int, int, int) = address_of("Subtract");
    double(WINCDECL * scale)(double, int) = address_of("Scale");
    assert_int_equal(subtract(1000, 1, 2, 3, 4), 1000 - 2 - 6 - 12 - 20);
    assert_true(scale(1.5, 4) == 6.0);
}

static void test_data(void **state)
{
    assert_ptr_equal(counter, address_of("counter"));
    assert_int_equal(*counter, 0);
    *counter = 7;
    *spare = 8;
    assert_int_equal(*counter, 7);
    struct pe_export found;
    assert_true(pe_export_by_ordinal(&exports, 40, &found));
    assert_ptr_equal(spare, (void *)(uintptr_t)(mm_view_base(view) + found.rva));
}

static jmp_buf escape;
static char trapped[64];
static uintptr_t frame;

static void on_trap(const char *module, const char *name)
{
    /* An image's stack may be aligned to 4 bytes on i386; ours must be to 16. */
    frame = (uintptr_t)__builtin_frame_address(0);
    strcpy(trapped, module);
    strcat(strcat(trapped, "!"), name);
    longjmp(escape, 1);
}

static void call_trap(const char *name, const char *expected)
{
    void(WINAPI * function)(int, int) = address_of(name);
    trapped[0] = '\0';
    if (setjmp(escape) == 0) {
        function(1, 2);
        fail_msg("the trap returned");
    }
    assert_string_equal(trapped, expected);
    if (sizeof(void *) == 8)
        assert_int_equal(frame % 16, 0);
}

static void test_traps(void **state)
{
    ldr_set_trap_handler(on_trap);
    call_trap("Missing", "SAMPLE.dll!Missing");
    call_trap("Unwritten", "SAMPLE.dll!Unwritten");
    ldr_set_trap_handler(NULL);
}

#define BOTH_BASES(test)                                         \
    cmocka_unit_test_setup_teardown(test, map_preferred, unmap), \
        cmocka_unit_test_setup_teardown(test, map_elsewhere, unmap)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_BASES(test_functions),
        BOTH_BASES(test_data),
        BOTH_BASES(test_traps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
