/*
 * Resources of the sample resource.dll through KERNEL32 and USER32, and version information.
 *
 * What the sample holds is in samples/resource/resource.rc: string tables in English and German,
 * raw data, a named type. Version blocks are written here from Microsoft's VS_VERSIONINFO pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/smalldlls.h"
#include "tests/samples.h"
#include "tests/unit/builtin_fn.h"
#include "tests/unit/wide.h"

#define LANG_GERMAN     0x0407
#define LANG_ENGLISH_US 0x0409

typedef BOOL(WINAPI *enum_types)(HMODULE module, WCHAR *type, LONG_PTR parameter);
typedef BOOL(WINAPI *enum_languages)(HMODULE module, const WCHAR *type, const WCHAR *name,
                                     WORD language, LONG_PTR parameter);

FN(LoadLibraryExA, HMODULE, const char *name, HANDLE file, DWORD flags);
FN(FreeLibrary, BOOL, HMODULE module);
FN(FindResourceW, HRSRC, HMODULE module, const WCHAR *name, const WCHAR *type);
FN(FindResourceA, HRSRC, HMODULE module, const char *name, const char *type);
FN(FindResourceExW, HRSRC, HMODULE module, const WCHAR *type, const WCHAR *name, WORD language);
FN(LoadResource, HGLOBAL, HMODULE module, HRSRC resource);
FN(LockResource, void *, HGLOBAL data);
FN(SizeofResource, DWORD, HMODULE module, HRSRC resource);
FN(EnumResourceTypesW, BOOL, HMODULE module, enum_types callback, LONG_PTR parameter);
FN(EnumResourceLanguagesW, BOOL, HMODULE module, const WCHAR *type, const WCHAR *name,
   enum_languages callback, LONG_PTR parameter);
FN(LoadStringW, INT, HMODULE module, UINT id, WCHAR *buffer, INT size);
FN(LoadStringA, INT, HMODULE module, UINT id, char *buffer, INT size);
FN(GetFileVersionInfoSizeW, DWORD, const WCHAR *file, DWORD *handle);
FN(GetFileVersionInfoW, BOOL, const WCHAR *file, DWORD handle, DWORD size, void *out);
FN(VerQueryValueW, BOOL, const void *block, const WCHAR *path, void **out, UINT *size);
FN(VerQueryValueA, BOOL, void *block, const char *path, void **out, UINT *size);

static HMODULE sample;

static int load(void **state)
{
    char path[SAMPLE_PATH_MAX];
    if (!nt_ok(ke_thread_attach(NULL)))
        return -1;
    win32_register();
    LOAD_FN(kernel32_module, LoadLibraryExA);
    LOAD_FN(kernel32_module, FreeLibrary);
    LOAD_FN(kernel32_resource, FindResourceA);
    LOAD_FN(kernel32_resource, FindResourceW);
    LOAD_FN(kernel32_resource, FindResourceExW);
    LOAD_FN(kernel32_resource, LoadResource);
    LOAD_FN(kernel32_resource, LockResource);
    LOAD_FN(kernel32_resource, SizeofResource);
    LOAD_FN(kernel32_resource, EnumResourceTypesW);
    LOAD_FN(kernel32_resource, EnumResourceLanguagesW);
    LOAD_FN(user32, LoadStringA);
    LOAD_FN(user32, LoadStringW);
    LOAD_FN(version, GetFileVersionInfoSizeW);
    LOAD_FN(version, GetFileVersionInfoW);
    LOAD_FN(version, VerQueryValueA);
    LOAD_FN(version, VerQueryValueW);
    for (const char *const *set = sample_sets; *set && !sample; set++)
        if (sample_path(*set, "resource.dll", path))
            sample = LoadLibraryExA(path, NULL, 0);
    return 0;
}

static void need_sample(void)
{
    if (!sample)
        skip();
}

static WCHAR *number(unsigned id)
{
    return (WCHAR *)(uintptr_t)id;
}

static void raw_data_is_found_by_number_and_by_text(void **state)
{
    need_sample();
    HRSRC found = FindResourceW(sample, number(1), number(256));
    assert_non_null(found);
    assert_ptr_equal(FindResourceW(sample, W("#1"), W("#256")), found);
    assert_ptr_equal(FindResourceA(sample, "#1", "#256"), found);
    assert_int_equal(SizeofResource(sample, found), 11); /* the text, no NUL, and a WORD */
    const char *bytes = LockResource(LoadResource(sample, found));
    assert_non_null(bytes);
    assert_memory_equal(bytes, "raw bytes\x2A\0", 11);
}

static void names_compare_without_case(void **state)
{
    need_sample();
    HRSRC found = FindResourceW(sample, W("named"), W("customType"));
    assert_non_null(found);
    assert_int_equal(SizeofResource(sample, found), 6);
    assert_memory_equal(LoadResource(sample, found), "custom", 6);
}

static void what_is_missing_has_an_error_of_its_own(void **state)
{
    need_sample();
    assert_null(FindResourceW(sample, number(1), number(999)));
    assert_int_equal(ke_last_error(), ERROR_RESOURCE_TYPE_NOT_FOUND);
    assert_null(FindResourceW(sample, number(999), number(256)));
    assert_int_equal(ke_last_error(), ERROR_RESOURCE_NAME_NOT_FOUND);
    assert_null(FindResourceExW(sample, number(256), number(1), 0x0411)); /* Japanese */
    assert_int_equal(ke_last_error(), ERROR_RESOURCE_LANG_NOT_FOUND);
}

static BOOL WINAPI_DEF count_language(HMODULE module, const WCHAR *type, const WCHAR *name,
                                      WORD language, LONG_PTR parameter)
{
    unsigned *seen = (unsigned *)parameter;
    *seen |= language == LANG_GERMAN ? 1u : language == LANG_ENGLISH_US ? 2u : 4u;
    return TRUE;
}

static BOOL WINAPI_DEF count_type(HMODULE module, WCHAR *type, LONG_PTR parameter)
{
    unsigned *seen = (unsigned *)parameter;
    if ((uintptr_t)type == 6)
        *seen |= 1;
    else if ((uintptr_t)type == 256)
        *seen |= 2;
    else if ((uintptr_t)type > 0xFFFF && !strcmp(narrow(type), "CUSTOMTYPE"))
        *seen |= 4;
    return TRUE;
}

static void types_and_languages_are_enumerated(void **state)
{
    unsigned types = 0, languages = 0;
    need_sample();
    assert_true(EnumResourceTypesW(sample, count_type, (LONG_PTR)&types));
    assert_int_equal(types, 7);
    /* Strings 16 to 31 are resource 2. */
    assert_true(
        EnumResourceLanguagesW(sample, number(6), number(2), count_language, (LONG_PTR)&languages));
    assert_int_equal(languages, 3);
    HRSRC german = FindResourceExW(sample, number(6), number(2), LANG_GERMAN);
    assert_non_null(german);
    assert_ptr_not_equal(german, FindResourceExW(sample, number(6), number(2), LANG_ENGLISH_US));
}

static void strings_are_loaded_by_their_number(void **state)
{
    static const char hello[] = "Hello from a string table";
    WCHAR wide[64];
    char ansi[64];
    const WCHAR *in_place = NULL;
    need_sample();
    assert_int_equal(LoadStringW(sample, 16, wide, 64), sizeof(hello) - 1);
    assert_string_equal(narrow(wide), hello);
    assert_int_equal(LoadStringA(sample, 17, ansi, 64), 13);
    assert_string_equal(ansi, "Second string");
    assert_int_equal(LoadStringW(sample, 16, wide, 6), 5); /* cut, NUL-terminated */
    assert_string_equal(narrow(wide), "Hello");
    assert_int_equal(LoadStringA(sample, 16, ansi, 6), 5);
    assert_string_equal(ansi, "Hello");
    assert_int_equal(LoadStringW(sample, 16, (WCHAR *)&in_place, 0), sizeof(hello) - 1);
    assert_int_equal(in_place[0], 'H');
    assert_int_equal(LoadStringW(sample, 18, wide, 64), 0); /* an empty place of the table */
    assert_int_equal(wide[0], 0);
    assert_int_equal(LoadStringW(sample, 4000, wide, 64), 0);
    assert_int_equal(ke_last_error(), ERROR_RESOURCE_NAME_NOT_FOUND);
}

static void a_data_file_has_resources_too(void **state)
{
    char path[SAMPLE_PATH_MAX], copy[64];
    bool tried = false;
    snprintf(copy, sizeof(copy), "/tmp/peldr-resource-%d.dll", (int)getpid());
    for (const char *const *set = sample_sets; *set; set++) {
        if (!sample_path(*set, "resource.dll", path))
            continue;
        sample_copy(path, copy);
        HMODULE data = LoadLibraryExA(copy, NULL, 2);
        assert_non_null(data);
        assert_int_equal((uintptr_t)data & 3, 1);
        HRSRC found = FindResourceW(data, number(1), number(256));
        assert_non_null(found);
        assert_memory_equal(LoadResource(data, found), "raw bytes", 9);
        assert_true(FreeLibrary(data));
        unlink(copy);
        tried = true;
    }
    if (!tried)
        skip();
}

/* ---- version information ---- */

static _Alignas(8) uint8_t block[1024];
static size_t used;

/* Begins a block; returns where its length goes. */
static size_t begin(const char *key, WORD value_length, WORD type)
{
    used = (used + 3) & ~(size_t)3;
    size_t at = used;
    WORD header[3] = {0, value_length, type};
    memcpy(block + used, header, 6);
    used += 6;
    size_t size = (strlen(key) + 1) * sizeof(WCHAR);
    memcpy(block + used, W(key), size);
    used = (used + size + 3) & ~(size_t)3;
    return at;
}

static void end(size_t at)
{
    WORD length = (WORD)(used - at);
    memcpy(block + at, &length, 2);
}

static void write_version(void)
{
    static const DWORD fixed[13] = {0xFEEF04BD, 0x10000, 0x00010002};
    static const WORD translation[2] = {0x0409, 0x04B0};
    memset(block, 0, sizeof(block));
    used = 0;
    size_t root = begin("VS_VERSION_INFO", sizeof(fixed), 0);
    memcpy(block + used, fixed, sizeof(fixed));
    used += sizeof(fixed);
    size_t strings = begin("StringFileInfo", 0, 1), table = begin("040904B0", 0, 1);
    size_t other = begin("CompanyName", 4, 1);
    memcpy(block + used, W("Our"), 8);
    used += 8;
    end(other);
    size_t product = begin("ProductName", 6, 1);
    memcpy(block + used, W("peldr"), 12);
    used += 12;
    end(product);
    end(table);
    end(strings);
    size_t variables = begin("VarFileInfo", 0, 1), variable = begin("Translation", 4, 0);
    memcpy(block + used, translation, 4);
    used += 4;
    end(variable);
    end(variables);
    end(root);
}

static void version_values_are_found_by_path(void **state)
{
    void *value = NULL;
    UINT size = 0;
    write_version();
    assert_true(VerQueryValueW(block, W("\\"), &value, &size));
    assert_int_equal(size, 52);
    assert_int_equal(*(DWORD *)value, 0xFEEF04BD);
    assert_true(VerQueryValueW(block, W("\\VarFileInfo\\Translation"), &value, &size));
    assert_int_equal(size, 4);
    assert_int_equal(*(DWORD *)value, 0x04B00409);
    assert_true(VerQueryValueW(block, W("\\StringFileInfo\\040904b0\\productname"), &value, &size));
    assert_int_equal(size, 6); /* characters, with the NUL */
    assert_string_equal(narrow(value), "peldr");
    assert_false(VerQueryValueW(block, W("\\StringFileInfo\\040904b0\\Nothing"), &value, &size));
    assert_int_equal(ke_last_error(), ERROR_RESOURCE_TYPE_NOT_FOUND);
    assert_int_equal(size, 0);
}

static void the_ansi_function_converts_texts_only(void **state)
{
    void *value = NULL;
    UINT size = 0;
    write_version();
    /* As GetFileVersionInfo leaves a buffer: the mark, and room behind it. */
    memcpy(block + ((used + 3) & ~(size_t)3), "FE2X", 4);
    assert_true(VerQueryValueA(block, "\\StringFileInfo\\040904B0\\ProductName", &value, &size));
    assert_string_equal(value, "peldr");
    assert_int_equal(size, 6);
    void *first = value;
    assert_true(VerQueryValueA(block, "\\StringFileInfo\\040904B0\\CompanyName", &value, &size));
    assert_string_equal(value, "Our");
    assert_string_equal(first, "peldr"); /* earlier answers stay */
    assert_true(VerQueryValueA(block, "\\", &value, &size));
    assert_ptr_equal(value, block + 40);
}

/* Lengths that lie must not lead outside: every cut of the root, every byte changed. */
static void hostile_version_blocks_are_survived(void **state)
{
    void *value = NULL;
    UINT size;
    write_version();
    WORD whole = (WORD)used;
    for (WORD cut = 0; cut < whole; cut++) {
        memcpy(block, &cut, 2);
        if (VerQueryValueW(block, W("\\StringFileInfo\\040904B0\\ProductName"), &value, &size))
            assert_true((uint8_t *)value + size * 2 <= block + cut);
    }
    for (size_t i = 2; i < whole; i++) {
        write_version();
        block[i] = 0xFF;
        if (VerQueryValueW(block, W("\\StringFileInfo\\040904B0\\ProductName"), &value, &size))
            assert_true((uint8_t *)value + size * 2 <= block + whole);
    }
}

static void a_file_without_version_says_so(void **state)
{
    char path[SAMPLE_PATH_MAX];
    DWORD handle = 5;
    assert_int_equal(GetFileVersionInfoSizeW(W("no such file.dll"), &handle), 0);
    assert_int_equal(ke_last_error(), ERROR_FILE_NOT_FOUND);
    assert_int_equal(handle, 0);
    for (const char *const *set = sample_sets; *set; set++) {
        if (sample_path(*set, "basic.dll", path)) {
            assert_int_equal(GetFileVersionInfoSizeW(W(path), &handle), 0);
            assert_in_range(ke_last_error(), ERROR_RESOURCE_DATA_NOT_FOUND,
                            ERROR_RESOURCE_NAME_NOT_FOUND);
        }
    }
}

static void check_file_version(const char *path)
{
    static const char name[] = "\\StringFileInfo\\040904B0\\ProductName";
    static uint8_t info[4096];
    void *value = NULL;
    UINT size = 0;
    DWORD needed = GetFileVersionInfoSizeW(W(path), NULL);
    assert_in_range(needed, 52, sizeof(info) - 1);
    memset(info, 0xEE, sizeof(info));
    assert_true(GetFileVersionInfoW(W(path), 0, needed, info));
    assert_int_equal(info[needed], 0xEE);
    assert_true(VerQueryValueW(info, W("\\"), &value, &size));
    assert_int_equal(((DWORD *)value)[2], 0x00010002); /* dwFileVersionMS */
    assert_int_equal(((DWORD *)value)[3], 0x00030004);
    assert_true(VerQueryValueA(info, name, &value, &size));
    assert_string_equal(value, "peldr sample");
    assert_true((uint8_t *)value + size <= info + needed);
    /* A short buffer gets what fits, and lookups stay inside. */
    for (DWORD room = 0; room < needed; room++) {
        memset(info, 0xEE, sizeof(info));
        assert_true(GetFileVersionInfoW(W(path), 0, room, info));
        assert_int_equal(info[room], 0xEE);
        if (room >= 6 && VerQueryValueW(info, W(name), &value, &size))
            assert_true((uint8_t *)value + 2 * size <= info + room);
        if (room >= 6)
            assert_false(VerQueryValueA(info, name, &value, &size));
    }
}

static void a_files_version_is_read(void **state)
{
    char path[SAMPLE_PATH_MAX];
    need_sample();
    for (const char *const *set = sample_sets; *set; set++)
        if (sample_path(*set, "resource.dll", path))
            check_file_version(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_data_is_found_by_number_and_by_text),
        cmocka_unit_test(names_compare_without_case),
        cmocka_unit_test(what_is_missing_has_an_error_of_its_own),
        cmocka_unit_test(types_and_languages_are_enumerated),
        cmocka_unit_test(strings_are_loaded_by_their_number),
        cmocka_unit_test(a_data_file_has_resources_too),
        cmocka_unit_test(version_values_are_found_by_path),
        cmocka_unit_test(the_ansi_function_converts_texts_only),
        cmocka_unit_test(hostile_version_blocks_are_survived),
        cmocka_unit_test(a_file_without_version_says_so),
        cmocka_unit_test(a_files_version_is_read),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
