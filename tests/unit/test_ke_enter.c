/*
 * A thread of the host that calls an image without having been attached: the first touch of the TEB
 * attaches it, modules hear of its coming and going, and the call goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/ldr/ldr.h"
#include "tests/pebuild.h"

#ifdef __x86_64__
/* mov rax, gs:[0x30]; ret */
static const uint8_t get_teb[] = {0x65, 0x48, 0x8B, 0x04, 0x25, 0x30, 0, 0, 0, 0xC3};
/* mov [rip + x], edx; mov eax, 1; ret */
static const uint8_t dll_main[] = {0x89, 0x15, 0, 0, 0, 0, 0xB8, 1, 0, 0, 0, 0xC3};
enum { OPERAND = 2, AFTER_OPERAND = 6, KIND = PEBUILD_DLL | PEBUILD_PE32_PLUS };
#else
/* mov eax, fs:[0x18]; ret */
static const uint8_t get_teb[] = {0x64, 0xA1, 0x18, 0, 0, 0, 0xC3};
/* mov eax, [esp + 8]; mov [x], eax; mov eax, 1; ret 12 */
static const uint8_t dll_main[] = {0x8B, 0x44, 0x24, 0x08, 0xA3, 0,    0,    0, 0,
                                   0xB8, 1,    0,    0,    0,    0xC2, 0x0C, 0};
enum { OPERAND = 5, KIND = PEBUILD_DLL };
#endif

static struct sigaction fault_handler; /* cmocka puts its own around every test */
static pthread_barrier_t barrier;
static pthread_t stranger;
static struct ldr_module *module;
static uint32_t main_rva, teb_rva, reason_rva;

struct seen {
    struct ke_teb *from_image, *from_ke;
    uint32_t reason;
};

static volatile uint32_t *last_reason(void)
{
    return (volatile uint32_t *)(uintptr_t)(ldr_module_base(module) + reason_rva);
}

/* Started before any thread is attached, so that it inherits no segment base. */
static void *call_image(void *argument)
{
    struct seen *seen = argument;
    pthread_barrier_wait(&barrier);
    struct ke_teb *(*function)(void) =
        (struct ke_teb * (*)(void))(uintptr_t)(ldr_module_base(module) + teb_rva);
    seen->from_image = function();
    seen->reason = *last_reason();
    seen->from_ke = ke_teb();
    return NULL;
}

static uint8_t *build(uint64_t *size)
{
    struct pebuild *b = pebuild_new(KIND);
    struct pebuild_buffer data = pebuild_buffer(b);
    reason_rva = pebuild_u32(&data, 0);
    pebuild_buffer_section(&data, ".data", PEBUILD_DATA);
    struct pebuild_buffer text = pebuild_buffer(b);
    main_rva = pebuild_bytes(&text, dll_main, sizeof(dll_main));
    teb_rva = pebuild_bytes(&text, get_teb, sizeof(get_teb));
#ifdef __x86_64__
    pebuild_patch32(&text, main_rva + OPERAND, reason_rva - (main_rva + AFTER_OPERAND));
#else
    pebuild_patch32(&text, main_rva + OPERAND, (uint32_t)b->h.image_base + reason_rva);
    pebuild_fixup(b, main_rva + OPERAND, 3);
#endif
    pebuild_buffer_section(&text, ".text", PEBUILD_TEXT);
    pebuild_relocs(b);
    b->h.address_of_entry_point = main_rva;
    return pebuild_finish(b, size);
}

static void the_first_touch_attaches(void **state)
{
    struct seen *seen = *state;
    struct ldr_load_options options = {.name = "enter.dll"};
    struct pe_error err = {0};
    assert_int_equal(ke_thread_attach(&err), 0);
    uint8_t *bytes = build(&options.size);
    options.bytes = bytes;
    nt_status status = ldr_load(&options, &module, &err);
    free(bytes);
    assert_string_equal(err.text, "");
    assert_int_equal(status, 0);
    assert_int_equal(*last_reason(), 1); /* DLL_PROCESS_ATTACH */
    sigaction(SIGSEGV, &fault_handler, NULL);
    pthread_barrier_wait(&barrier);
    pthread_join(stranger, NULL);
    assert_non_null(seen->from_image);
    assert_ptr_equal(seen->from_image, seen->from_ke);
    assert_ptr_not_equal(seen->from_image, ke_teb());
    assert_int_equal(seen->reason, 2);   /* DLL_THREAD_ATTACH */
    assert_int_equal(*last_reason(), 3); /* DLL_THREAD_DETACH */
    assert_int_equal(ldr_unload(module, &err), 0);
}

int main(void)
{
    static struct seen seen;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(the_first_touch_attaches, &seen),
    };
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&stranger, NULL, call_image, &seen);
    if (!nt_ok(ke_process_init(NULL)))
        return 1;
    sigaction(SIGSEGV, NULL, &fault_handler);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
