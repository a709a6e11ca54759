/*
 * Backtraces through native code, an image, and the gate that it was entered by.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "loader/ke/cfi.h"
#include "loader/ke/ke.h"
#include "loader/ke/unwind.h"
#include "loader/ldr/imagemap.h"
#include "tests/unit/graphimage.h"

enum { CAPACITY = 64 };

static uintptr_t frames[CAPACITY];
static uint32_t count;

static __attribute__((noinline)) void take(uint32_t capacity)
{
    struct ke_context context = {0};
    ke_capture_context(&context);
    count = ke_backtrace(&context, frames, capacity);
}

/* The first frame from `first` on that lies in a native function, or -1. */
static int find(const void *function, int first)
{
    for (uint32_t i = (uint32_t)first; i < count; i++)
        if (ke_cfi_function(frames[i] - 1) == (uintptr_t)function)
            return (int)i;
    return -1;
}

static int find_image(int first)
{
    for (uint32_t i = (uint32_t)first; i < count; i++)
        if (ldr_image_at(frames[i], NULL))
            return (int)i;
    return -1;
}

static void a_backtrace_of_native_code_reaches_main(void **state)
{
    extern int main(void);
    take(CAPACITY);
    assert_int_equal(find((void *)a_backtrace_of_native_code_reaches_main, 0), 0);
    assert_true(find((void *)main, 1) > 0);
    take(2);
    assert_int_equal(count, 2);
    take(0);
    assert_int_equal(count, 0);
}

static void take_in_hook(char id, uint32_t reason)
{
    if (reason == 1)
        take(CAPACITY);
    __asm__ volatile(""); /* no tail call */
}

static __attribute__((noinline)) struct ldr_module *load_calls(void)
{
    struct ldr_module *module = graph_must_load("calls.dll");
    assert_non_null(module);
    return module;
}

static void images_and_gates_are_passed(void **state)
{
    graph_write(&(struct graph_spec){.file = "calls.dll", .id = 'c'});
    graph_hook = take_in_hook;
    struct ldr_module *module = load_calls();
    graph_hook = NULL;
    int hook = find((void *)take_in_hook, 0), record = find((void *)host_record, 0),
        image = find_image(0), caller = find((void *)load_calls, 0);
    assert_int_equal(hook, 0);
    assert_int_equal(record, 1);
    assert_int_equal(image, 2);
    assert_true(caller > image + 1); /* the gate and the loader lie between */
    assert_true(ke_cfi_function(frames[image + 1] - 1) != 0); /* the one that ran the gate */
    assert_int_equal(find_image(image + 1), -1);
    ldr_unload(module, NULL);
}

/* Two gates, one inside the other: an entry point that loads another image. */
static void load_inner(char id, uint32_t reason)
{
    if (reason == 1 && id == 'o')
        graph_must_load("inner.dll");
    if (reason == 1 && id == 'i')
        take(CAPACITY);
}

static void gates_in_gates_are_passed(void **state)
{
    graph_write(&(struct graph_spec){.file = "inner.dll", .id = 'i'});
    graph_write(&(struct graph_spec){.file = "outer.dll", .id = 'o'});
    graph_hook = load_inner;
    struct ldr_module *outer = graph_must_load("outer.dll");
    graph_hook = NULL;
    int first = find_image(0);
    assert_true(first > 0);
    int second = find_image(first + 1);
    assert_true(second > first + 1);
    assert_int_equal(find_image(second + 1), -1);
    assert_true(find((void *)gates_in_gates_are_passed, second) > second);
    assert_true(frames[first] - frames[second] > 0x1000); /* of two images */
    ldr_unload(outer, NULL);
}

static void WINCDECL_DEF take_for_image(uint32_t capacity)
{
    take(capacity);
    __asm__ volatile("");
}

/* Image code whose frames are laid out in known ways calls back. */
static void called_back_frames(const uint8_t *code, size_t size, size_t at)
{
    uint8_t copy[64];
    uintptr_t function = (uintptr_t)take_for_image;
    memcpy(copy, code, size);
    memcpy(copy + at, &function, sizeof(function));
    graph_write(
        &(struct graph_spec){.file = "frame.dll", .code = copy, .code_size = (uint32_t)size});
    struct ldr_module *module = graph_must_load("frame.dll");
    assert_non_null(module);
    int image = find_image(0);
    assert_int_equal(image, 1); /* behind take_for_image() */
    assert_true(find((void *)called_back_frames, 1) > image);
    ldr_unload(module, NULL);
}

static void frames_of_images_are_followed(void **state)
{
#ifdef __i386__
    static const uint8_t with_ebp[] = {0x55, 0x89, 0xE5,       /* push ebp; mov */
                                       0x6A, 64,               /* push CAPACITY */
                                       0xB8, 0,    0,    0, 0, /* mov eax, take */
                                       0xFF, 0xD0, 0xC9,       /* call; leave */
                                       0xB8, 1,    0,    0, 0, /* mov eax, 1 */
                                       0xC2, 0x0C, 0x00};      /* ret 12 */
    called_back_frames(with_ebp, sizeof(with_ebp), 6);
    static const uint8_t without[] = {0x6A, 64,   0xB8, 0, 0, 0, 0,    0xFF, 0xD0,
                                      0x58, 0xB8, 1,    0, 0, 0, 0xC2, 0x0C, 0x00};
    called_back_frames(without, sizeof(without), 3);
    static const uint8_t bad_ebp[] = {0x55, 0xBD, 0x10, 0, 0, 0, /* push ebp; mov ebp, 0x10 */
                                      0x6A, 64,   0xB8, 0, 0, 0, 0,    0xFF, 0xD0, 0x58,
                                      0x5D, 0xB8, 1,    0, 0, 0, 0xC2, 0x0C, 0x00};
    called_back_frames(bad_ebp, sizeof(bad_ebp), 9);
#else
    static const uint8_t no_table[] = {0x48, 0x83, 0xEC, 0x28,    /* sub rsp, 0x28 */
                                       0xB9, 64,   0,    0,    0, /* mov ecx, CAPACITY */
                                       0x48, 0xB8, 0,    0,    0,    0,    0, 0, 0, 0, /* mov rax */
                                       0xFF, 0xD0, 0x48, 0x83, 0xC4, 0x28, /* call; add rsp */
                                       0xB8, 1,    0,    0,    0,    0xC3};
    called_back_frames(no_table, sizeof(no_table), 11);
#endif
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
        cmocka_unit_test(a_backtrace_of_native_code_reaches_main),
        cmocka_unit_test(images_and_gates_are_passed),
        cmocka_unit_test(gates_in_gates_are_passed),
        cmocka_unit_test(frames_of_images_are_followed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
