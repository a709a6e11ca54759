/*
 * The Windows version in the PEB, and what a program's image changes there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "loader/ke/os.h"
#include "loader/ke/teb.h"
#include "loader/mm/section.h"
#include "tests/pebuild.h"

static void assert_version(const struct ke_peb *peb, uint32_t major, uint32_t minor, uint32_t build,
                           uint32_t service_pack)
{
    assert_int_equal(peb->OSMajorVersion, major);
    assert_int_equal(peb->OSMinorVersion, minor);
    assert_int_equal(peb->OSBuildNumber, build);
    assert_int_equal(peb->OSCSDVersion, service_pack);
}

static void each_version_has_its_numbers(void **state)
{
    struct ke_peb peb = {0};
    mm_set_windows(PE_WINDOWS_XP);
    ke_os_show(&peb);
    if (sizeof(void *) == 8)
        assert_version(&peb, 5, 2, 3790, 0x200);
    else
        assert_version(&peb, 5, 1, 2600, 0x300);
    mm_set_windows(PE_WINDOWS_7);
    ke_os_show(&peb);
    assert_version(&peb, 6, 1, 7601, 0x100);
    assert_int_equal(peb.CSDVersion.Length, 28);
    assert_memory_equal(peb.CSDVersion.Buffer, u"Service Pack 1", 30);
    mm_set_windows(PE_WINDOWS_10);
    ke_os_show(&peb);
    assert_version(&peb, 10, 0, 19045, 0);
    assert_int_equal(peb.CSDVersion.Length, 0);
    assert_int_equal(peb.OSPlatformId, 2);
}

/* The PEB after a program with that version value and load configuration. */
static struct ke_peb peb_of(uint32_t value, const uint8_t *config, uint32_t size)
{
    struct ke_peb peb = {.NtGlobalFlag = 0x3};
    struct pe_image image;
    uint64_t bytes_size;
    struct pebuild *b = pebuild_new(PEBUILD_EXE | (sizeof(void *) == 8 ? PEBUILD_PE32_PLUS : 0));
    b->h.win32_version_value = value;
    pebuild_section(b, ".rdata", PEBUILD_RDATA, config, size, 0x1000);
    if (size)
        pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, 0x1000, size);
    uint8_t *bytes = pebuild_finish(b, &bytes_size);
    assert_int_equal(pe_open((struct pe_span){bytes, bytes_size}, PE_LAYOUT_FILE, &image, NULL), 0);
    ke_os_show(&peb);
    ke_os_override(&peb, &image);
    free(bytes);
    return peb;
}

static void a_version_value_replaces_all_fields(void **state)
{
    struct ke_peb peb = peb_of(0x7FFF0102u, NULL, 0);
    assert_version(&peb, 2, 1, 0x3FFF, 0);
    assert_int_equal(peb.OSPlatformId, 3);
    peb = peb_of(0, NULL, 0);
    assert_version(&peb, 10, 0, 19045, 0);
    assert_int_equal(peb.NtGlobalFlag, 0x3);
}

static void the_load_configuration_sets_what_it_names(void **state)
{
    uint8_t config[0x70] = {sizeof(config)};
    pebuild_put32(config, 12, 0x1);  /* GlobalFlagsClear */
    pebuild_put32(config, 16, 0x70); /* GlobalFlagsSet */
    pebuild_put32(config, 20, 2000); /* CriticalSectionDefaultTimeout */
    pebuild_put16(config, sizeof(void *) == 8 ? 76 : 52, 0x400);
    struct ke_peb peb = peb_of(0x00050105, config, sizeof(config));
    assert_int_equal(peb.NtGlobalFlag, 0x72);
    assert_true(peb.CriticalSectionTimeout == -20000000);
    assert_version(&peb, 5, 1, 5, 0x400);
    assert_memory_equal(peb.CSDVersion.Buffer, u"Service Pack 4", 30);
    peb = peb_of(0, config, sizeof(config)); /* the service pack's goes with a version */
    assert_version(&peb, 10, 0, 19045, 0);
    config[0] = 16; /* too small to hold what it sets */
    peb = peb_of(0, config, sizeof(config));
    assert_int_equal(peb.NtGlobalFlag, 0x2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_version_has_its_numbers),
        cmocka_unit_test(a_version_value_replaces_all_fields),
        cmocka_unit_test(the_load_configuration_sets_what_it_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
