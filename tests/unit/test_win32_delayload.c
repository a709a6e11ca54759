/*
 * LdrResolveDelayLoadedAPI on an image that a linker gave delay imports.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "loader/ke/ke.h"
#include "loader/ldr/ldr.h"
#include "pe/imports.h"
#include "tests/samples.h"
#include "tests/unit/win32_fn.h"

K32(LoadLibraryExA, HMODULE, const char *name, HANDLE file, DWORD flags)
K32(GetModuleHandleA, HMODULE, const char *name)
K32(GetProcAddress, void *, HMODULE module, const char *name)
K32(ResolveDelayLoadedAPI, void *, HMODULE parent, const void *descriptor, void *hook,
    void *system_hook, uintptr_t *slot, ULONG flags)

enum { ALTERED_SEARCH_PATH = 8 };

static uint32_t failures;

static void *WINAPI_DEF on_failure(ULONG reason, void *info)
{
    failures += reason == 4; /* DELAYLOAD_GPA_FAILURE */
    return NULL;
}

static void *WINAPI_DEF system_failure(const char *dll, const char *procedure)
{
    failures += 10;
    return &failures;
}

static void a_slot_is_resolved_and_filled(void **state)
{
    char path[SAMPLE_PATH_MAX];
    const char *const *set = sample_sets;
    while (*set && !sample_path(*set, "delay.dll", path))
        set++;
    if (!*set)
        skip();
    HMODULE delay = LoadLibraryExA(path, NULL, ALTERED_SEARCH_PATH);
    assert_non_null(delay);
    assert_null(GetModuleHandleA("low.dll"));
    *strrchr(path, '/') = 0;
    assert_true(nt_ok(ldr_add_directory(path, NULL)));
    const struct pe_image *image = ldr_module_image(ldr_find_by_address((uintptr_t)delay));
    struct pe_import_module_iter modules;
    struct pe_import_module module;
    struct pe_import_iter imports;
    struct pe_import import;
    assert_true(pe_delay_import_modules(image, &modules));
    assert_int_equal(pe_import_module_next(&modules, &module), 1);
    pe_imports(image, &module, &imports);
    assert_int_equal(pe_import_next(&imports, &import), 1);
    char *base = (char *)delay;
    uintptr_t *slot = (uintptr_t *)(base + import.thunk_rva);

    /* What is no slot of the descriptor is given to the hooks and written nowhere else. */
    uintptr_t stray = 7;
    assert_ptr_equal(ResolveDelayLoadedAPI(delay, base + module.descriptor_rva, on_failure,
                                           system_failure, &stray, 0),
                     &failures);
    assert_int_equal(failures, 11);
    assert_int_equal(stray, 7);

    void *found = ResolveDelayLoadedAPI(delay, base + module.descriptor_rva, on_failure,
                                        system_failure, slot, 0);
    HMODULE low = GetModuleHandleA("low.dll");
    assert_non_null(low);
    assert_int_equal(failures, 11);
    assert_ptr_equal(found, GetProcAddress(low, import.name.ptr));
    assert_ptr_equal((void *)*slot, found);
    assert_ptr_equal(*(HMODULE *)(base + module.module_handle_rva), low);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_is_resolved_and_filled),
    };
    return cmocka_run_group_tests(tests, win32_test_setup, NULL);
}
