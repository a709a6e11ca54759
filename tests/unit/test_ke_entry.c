/*
 * Exceptions in entry points and TLS callbacks that the loader calls: they end the call, and at
 * attach the load, but not the process (facts 3.8; behaviours, TLS).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/ke/ke.h"
#include "loader/ke/process.h"
#include "tests/unit/graphimage.h"

/* Faults when the reason (rdx, [esp + 8]) is the last byte of the code; else returns 1. */
#if defined(__x86_64__)
#define FAULT_AT(reason)                                                         \
    {                                                                            \
        0x31, 0xC0, 0x83, 0xFA, reason, 0x75, 0x02, 0x89, 0x00, 0xFF, 0xC0, 0xC3 \
    }
#else
#define FAULT_AT(reason)                                                                           \
    {                                                                                              \
        0x31, 0xC0, 0x83, 0x7C, 0x24, 0x08, reason, 0x75, 0x02, 0x89, 0x00, 0x40, 0xC2, 0x0C, 0x00 \
    }
#endif

static void a_fault_at_attach_fails_the_load(void **state)
{
    static const uint8_t code[] = FAULT_AT(1);
    struct ldr_module *module;
    struct pe_error err = {0};
    ke_fault_install(); /* cmocka has put its own handler in front */
    graph_write(&(struct graph_spec){
        .file = "bad.dll", .code = code, .code_size = sizeof(code), .exports = {{.name = "fb"}}});
    graph_write(&(struct graph_spec){
        .file = "user.dll", .id = 'u', .imports = {{.module = "bad.dll", .names = {"fb"}}}});
    for (int i = 0; i < 3; i++) {
        err = (struct pe_error){0};
        assert_status(graph_load("user.dll", 0, &module, &err), STATUS_DLL_INIT_FAILED);
        assert_non_null(strstr(err.text, "bad.dll raised exception 0xC0000005"));
    }
    assert_null(ldr_find("bad.dll"));
    assert_string_equal(graph_take_log(), "");
}

static void a_fault_at_detach_does_not_keep_the_module(void **state)
{
    static const uint8_t code[] = FAULT_AT(0);
    ke_fault_install();
    graph_write(&(struct graph_spec){.file = "bad.dll", .code = code, .code_size = sizeof(code)});
    struct ldr_module *bad = graph_must_load("bad.dll");
    assert_non_null(bad);
    assert_status(ldr_unload(bad, NULL), STATUS_SUCCESS);
    assert_null(ldr_find("bad.dll"));
}

static void raise_at_attach(char id, uint32_t reason)
{
    if ((id == 'r' || id == 'k') && reason == 1)
        ke_raise(0xE0000001, 0, 0, NULL);
}

static void a_raised_exception_fails_the_load_without_detach(void **state)
{
    struct ldr_module *module;
    struct pe_error err = {0};
    graph_write(&(struct graph_spec){.file = "raise.dll", .id = 'r'});
    graph_hook = raise_at_attach;
    assert_status(graph_load("raise.dll", 0, &module, &err), STATUS_DLL_INIT_FAILED);
    graph_hook = NULL;
    assert_non_null(strstr(err.text, "0xE0000001"));
    assert_string_equal(graph_take_log(), "r+");
}

static void an_exception_in_a_tls_callback_is_swallowed(void **state)
{
    graph_write(&(struct graph_spec){.file = "tls.dll", .id = 't', .tls_callback = 'k'});
    graph_hook = raise_at_attach;
    struct ldr_module *tls = graph_must_load("tls.dll");
    graph_hook = NULL;
    assert_non_null(tls);
    assert_string_equal(graph_take_log(), "k+ t+");
    ldr_unload(tls, NULL);
    assert_string_equal(graph_take_log(), "k- t-");
}

static int set_up(void **state)
{
    return tempdir_create() | graph_register_host() | !nt_ok(ke_thread_enter(NULL));
}

static int tear_down(void **state)
{
    ldr_shutdown();
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_at_attach_fails_the_load),
        cmocka_unit_test(a_fault_at_detach_does_not_keep_the_module),
        cmocka_unit_test(a_raised_exception_fails_the_load_without_detach),
        cmocka_unit_test(an_exception_in_a_tls_callback_is_swallowed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
