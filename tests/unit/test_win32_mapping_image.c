/*
 * SEC_IMAGE through CreateFileMapping and MapViewOfFile: which files are images, what a view shows,
 * SHARED PE sections, what can be asked (facts 1.5, 1.6, 2.3).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/ldr/ldr.h"
#include "tests/pebuild.h"
#include "tests/unit/mapping_test.h"

K32(LoadLibraryA, HMODULE, const char *name)
K32(FreeLibrary, BOOL, HMODULE module)
K32(DeleteFileA, BOOL, const char *name)
NT(NtCreateSection, nt_status, HANDLE *out, ULONG access, void *attributes, const int64_t *size,
   ULONG protect, ULONG section_attributes, HANDLE file)
NT(NtMapViewOfSection, nt_status, HANDLE section, HANDLE process, void **base, ULONG_PTR zero_bits,
   SIZE_T commit, int64_t *offset, SIZE_T *size, ULONG inherit, ULONG type, ULONG protect)
NT(NtAreMappedFilesTheSame, nt_status, const void *first, const void *second)

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define NATIVE       (sizeof(void *) == 8 ? PEBUILD_PE32_PLUS : 0u)

enum { SHARED_DATA = 0xD0000040 };

static uint32_t data_rva, shared_rva, text_rva;

/* A DLL with a pointer that has a fixup, in .data, and 64 bytes that are SHARED. */
static void make_image(const char *name, unsigned flags, bool dynamic_base)
{
    uint8_t text[16] = {0xC3}, data[64] = {1, 2, 3}, shared[64] = {9};
    struct pebuild *b = pebuild_new(flags | PEBUILD_DLL);
    uint64_t size, pointer = b->h.image_base + 0x1234;
    memcpy(data + 8, &pointer, 8);
    text_rva = pebuild_next_rva(b);
    pebuild_section(b, ".text", PEBUILD_TEXT, text, sizeof text, 0);
    data_rva = pebuild_next_rva(b);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    shared_rva = pebuild_next_rva(b);
    pebuild_section(b, ".shared", SHARED_DATA, shared, sizeof shared, 0);
    pebuild_fixup(b, data_rva + 8, flags & PEBUILD_PE32_PLUS ? 10 : 3);
    pebuild_relocs(b);
    if (dynamic_base)
        b->h.dll_characteristics |= IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE;
    else
        b->h.dll_characteristics &= (uint16_t)~IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE;
    b->h.image_base = 0x4B000000;
    uint8_t *bytes = pebuild_finish(b, &size);
    tempdir_write(name, bytes, (size_t)size);
    free(bytes);
}

static HANDLE image_section(const char *name)
{
    HANDLE file = file_of(name, GENERIC_READ);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READONLY | SEC_IMAGE, 0, 0, NULL);
    assert_true(CloseHandle(file));
    assert_non_null(section);
    return section;
}

/* ---- what is no image ---------------------------------------------------------------------------
 */

static void files_that_are_no_images(void **state)
{
    static const uint8_t none[] = "", zeroes[512], mz[64] = {'M', 'Z'};
    static const uint8_t far[64] = {'M', 'Z', [60] = 0, 0x10, 0, 0};
    static const struct {
        const void *bytes;
        size_t size;
        nt_status status;
    } cases[] = {
        {none, 0, STATUS_INVALID_FILE_FOR_SECTION},
        {zeroes, sizeof zeroes, STATUS_INVALID_IMAGE_NOT_MZ},
        {"not an image at all, but a text", 31, STATUS_INVALID_IMAGE_NOT_MZ},
        {mz, sizeof mz, STATUS_INVALID_IMAGE_PROTECT},
        {far, sizeof far, STATUS_INVALID_IMAGE_PROTECT},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        HANDLE section;
        tempdir_write("no image", cases[i].bytes, cases[i].size);
        HANDLE file = file_of("no image", GENERIC_READ);
        nt_status status =
            NtCreateSection(&section, 0xF001F, NULL, NULL, PAGE_READONLY, SEC_IMAGE, file);
        if (status != cases[i].status)
            fail_msg("case %zu: %s", i, nt_status_name(status));
        assert_fails(CreateFileMappingA(file, NULL, PAGE_READONLY | SEC_IMAGE, 0, 0, NULL),
                     ERROR_BAD_EXE_FORMAT);
        assert_true(CloseHandle(file));
    }
}

static void an_image_has_one_size(void **state)
{
    make_image("sized.dll", NATIVE, false);
    HANDLE section = image_section("sized.dll");
    struct section_facts facts = facts_of(section);
    assert_int_equal(facts.attributes, SEC_IMAGE | SEC_FILE);
    assert_int_equal(facts.size % PAGE_BYTES, 0);
    assert_true(CloseHandle(section));
    HANDLE file = file_of("sized.dll", GENERIC_READ);
    section = CreateFileMappingA(file, NULL, PAGE_READONLY | SEC_IMAGE, 0, (DWORD)facts.size, NULL);
    assert_non_null(section);
    assert_true(CloseHandle(section));
    assert_fails(
        CreateFileMappingA(file, NULL, PAGE_READONLY | SEC_IMAGE, 0, (DWORD)facts.size + 1, NULL),
        ERROR_NOT_ENOUGH_MEMORY);
    assert_true(CloseHandle(file));
}

/* ---- views --------------------------------------------------------------------------------------
 */

static void a_view_is_laid_out_as_the_image(void **state)
{
    make_image("layout.dll", NATIVE, false);
    HANDLE section = image_section("layout.dll");
    fresh_error();
    uint8_t *view = MapViewOfFile(section, MAP_READ, 0, 0, 0);
    assert_ptr_equal(view, (void *)0x4B000000);
    static const struct {
        const uint32_t *rva;
        DWORD protect;
    } parts[] = {
        {&text_rva, PAGE_EXECUTE_READ}, {&data_rva, PAGE_WRITECOPY}, {&shared_rva, PAGE_READWRITE}};
    for (size_t i = 0; i < COUNT(parts); i++) {
        struct win32_memory_information info = query_at(view + *parts[i].rva);
        assert_int_equal(info.Protect, parts[i].protect);
        assert_int_equal(info.AllocationProtect, PAGE_EXECUTE_WRITECOPY);
        assert_int_equal(info.Type, MEM_IMAGE);
        assert_ptr_equal(info.AllocationBase, view);
    }
    assert_int_equal(view[data_rva + 2], 3);
    /* The base is taken now: a second view lies elsewhere, its content as in the file. */
    uint8_t *second = MapViewOfFile(section, MAP_READ, 0, 0, 0);
    assert_non_null(second);
    assert_ptr_not_equal(second, view);
    assert_memory_equal(second + data_rva, view + data_rva, 64);
    void *base = NULL;
    SIZE_T size = 0;
    assert_true(NtMapViewOfSection(section, CURRENT_PROCESS, &base, 0, 0, NULL, &size, 1, 0,
                                   PAGE_READONLY) == STATUS_IMAGE_NOT_AT_BASE);
    assert_int_equal(size, facts_of(section).size);
    assert_fails(MapViewOfFileEx(section, MAP_READ, 0, 0, 0, view), ERROR_INVALID_ADDRESS);
    assert_fails(MapViewOfFile(section, MAP_WRITE, 0, 0, 0), ERROR_ACCESS_DENIED);
    assert_fails(MapViewOfFile(section, MAP_READ, 0, 0, size + 1), ERROR_ACCESS_DENIED);
    assert_true(UnmapViewOfFile(view + data_rva) && UnmapViewOfFile(second) &&
                UnmapViewOfFile(base));
    assert_int_equal(query_at(view).State, MEM_FREE);
    assert_true(CloseHandle(section));
}

static void a_movable_image_is_relocated(void **state)
{
    make_image("moves.dll", NATIVE, true);
    HANDLE section = image_section("moves.dll");
    uint8_t *first = MapViewOfFile(section, MAP_READ, 0, 0, 0);
    uint8_t *second = MapViewOfFile(section, MAP_READ, 0, 0, 0);
    uintptr_t pointers[2];
    memcpy(&pointers[0], first + data_rva + 8, sizeof(uintptr_t));
    memcpy(&pointers[1], second + data_rva + 8, sizeof(uintptr_t));
    assert_true(pointers[1] - pointers[0] == (uintptr_t)second - (uintptr_t)first);
    assert_true(UnmapViewOfFile(first) && UnmapViewOfFile(second) && CloseHandle(section));
}

static void shared_pe_sections_are_shared(void **state)
{
    make_image("shared.dll", NATIVE, false);
    HANDLE section = image_section("shared.dll"), other = image_section("shared.dll");
    uint8_t *views[] = {MapViewOfFile(section, MAP_READ, 0, 0, 0),
                        MapViewOfFile(section, MAP_READ, 0, 0, 0),
                        MapViewOfFile(other, MAP_READ, 0, 0, 0)};
    HMODULE module = LoadLibraryA(tempdir_path("shared.dll"));
    assert_non_null(module);
    views[0][shared_rva] = 10;
    views[0][data_rva] = 11;
    for (int i = 1; i < 3; i++) {
        assert_int_equal(views[i][shared_rva], 10);
        assert_int_equal(views[i][data_rva], 1);
    }
    assert_int_equal(((uint8_t *)module)[shared_rva], 10);
    assert_true(CloseHandle(section) && CloseHandle(other));
    assert_true(UnmapViewOfFile(views[0]) && UnmapViewOfFile(views[1]));
    views[2][shared_rva] = 12;
    assert_int_equal(((uint8_t *)module)[shared_rva], 12);
    assert_true(UnmapViewOfFile(views[2]));
    /* A module's view ends with the module. */
    assert_fails(UnmapViewOfFile((uint8_t *)module + data_rva), ERROR_NOT_SUPPORTED);
    assert_true(FreeLibrary(module));
    /* Nobody has it mapped any more: the next one begins with what the file says. */
    section = image_section("shared.dll");
    uint8_t *view = MapViewOfFile(section, MAP_READ, 0, 0, 0);
    assert_int_equal(view[shared_rva], 9);
    assert_true(UnmapViewOfFile(view) && CloseHandle(section));
}

/* ---- the file ----------------------------------------------------------------------------------
 */

static void an_image_section_protects_its_file(void **state)
{
    make_image("kept.dll", NATIVE, false);
    HANDLE section = image_section("kept.dll");
    assert_ptr_equal(CreateFileA(tempdir_path("kept.dll"), GENERIC_WRITE, ALL_SHARED, NULL,
                                 OPEN_EXISTING, 0, NULL),
                     INVALID_HANDLE_VALUE);
    assert_int_equal(ke_last_error(), ERROR_SHARING_VIOLATION);
    assert_fails(DeleteFileA(tempdir_path("kept.dll")), ERROR_ACCESS_DENIED);
    void *view = MapViewOfFile(section, MAP_READ, 0, 0, 0);
    assert_true(CloseHandle(section));
    assert_fails(DeleteFileA(tempdir_path("kept.dll")), ERROR_ACCESS_DENIED);
    assert_true(UnmapViewOfFile(view));
    assert_true(DeleteFileA(tempdir_path("kept.dll")));
}

/* ---- questions ----------------------------------------------------------------------------------
 */

struct image_facts {
    void *entry;
    ULONG zero_bits;
    SIZE_T stack_reserve, stack_commit;
    ULONG subsystem;
    USHORT subsystem_minor, subsystem_major, os_major, os_minor;
    USHORT characteristics, dll_characteristics, machine;
    BOOLEAN code;
    BYTE flags;
    ULONG loader_flags, file_size, checksum;
};

static void images_are_described(void **state)
{
    struct image_facts facts;
    SIZE_T size;
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        make_image("facts.dll", NATIVE, dynamic);
        HANDLE section = image_section("facts.dll");
        assert_true(nt_ok(NtQuerySection(section, 1, &facts, sizeof facts, &size)));
        assert_int_equal(size, sizeof(void *) == 8 ? 64 : 48);
        assert_int_equal(facts.machine, sizeof(void *) == 8 ? 0x8664 : 0x14C);
        assert_true(facts.characteristics & IMAGE_FILE_DLL);
        assert_int_equal(facts.flags, dynamic ? 4 : 0);
        assert_int_equal(facts.file_size, length_of("facts.dll"));
        assert_true(NtQuerySection(section, 1, &facts, sizeof facts - 1, NULL) == 0xC0000004);
        assert_true(CloseHandle(section));
    }
}

static void views_of_one_file_are_known(void **state)
{
    make_image("one.dll", NATIVE, false);
    make_image("two.dll", NATIVE, false);
    HANDLE sections[] = {image_section("one.dll"), image_section("one.dll"),
                         image_section("two.dll"), paging(PAGE_READWRITE, 4096, NULL)};
    uint8_t *views[4];
    for (int i = 0; i < 4; i++)
        views[i] = MapViewOfFile(sections[i], MAP_READ, 0, 0, 0);
    assert_int_equal(NtAreMappedFilesTheSame(views[0], views[1] + data_rva), STATUS_SUCCESS);
    assert_true(NtAreMappedFilesTheSame(views[0], views[2]) == 0xC00000D4);
    assert_true(NtAreMappedFilesTheSame(views[0], views[3]) ==
                (nt_status)STATUS_CONFLICTING_ADDRESSES);
    assert_true(NtAreMappedFilesTheSame(NULL, views[0]) == (nt_status)STATUS_INVALID_ADDRESS);
    for (int i = 0; i < 4; i++)
        assert_true(UnmapViewOfFile(views[i]) && CloseHandle(sections[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_are_no_images),
        cmocka_unit_test(an_image_has_one_size),
        cmocka_unit_test(a_view_is_laid_out_as_the_image),
        cmocka_unit_test(a_movable_image_is_relocated),
        cmocka_unit_test(shared_pe_sections_are_shared),
        cmocka_unit_test(an_image_section_protects_its_file),
        cmocka_unit_test(images_are_described),
        cmocka_unit_test(views_of_one_file_are_known),
    };
    return cmocka_run_group_tests(tests, mapping_setup, mapping_teardown);
}
