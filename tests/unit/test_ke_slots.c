/*
 * TLS and FLS slots: values per thread, the inline view of the TEB, callbacks at the end of a
 * thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/ke/slots.h"
#include "loader/ke/teb.h"
#include "loader/ob/object.h"

static int attach_once(void **state)
{
    return nt_ok(ke_thread_attach(NULL)) ? 0 : -1;
}

static void a_value_is_where_code_reads_it_inline(void **state)
{
    uint32_t index = ke_tls_alloc();
    assert_in_range(index, 1, KE_TLS_SLOTS - 1);
    assert_true(ke_tls_set(ke_teb(), index, &index));
    void *const *slot = (void *const *)((char *)ke_teb() + KE_BY_WORD(0x1480, 0xE10)) + index;
    assert_ptr_equal(*slot, &index);
    assert_int_equal(ke_peb()->TlsBitmap->Buffer[index / 32] >> index % 32 & 1, 1);
    assert_true(ke_tls_free(index));
    assert_false(ke_tls_free(index));
    assert_null(*slot);
}

static void slots_go_on_behind_the_teb_and_end(void **state)
{
    static uint32_t taken[KE_TLS_MAX];
    uint32_t count = 0, index;
    while ((index = ke_tls_alloc()) != KE_NO_SLOT) {
        assert_true(count < KE_TLS_MAX);
        taken[count++] = index;
    }
    assert_int_equal(count, KE_TLS_MAX - 1); /* slot 0 is ntdll's */
    assert_int_equal(taken[count - 1], KE_TLS_MAX - 1);
    assert_true(ke_tls_set(ke_teb(), KE_TLS_MAX - 1, &count));
    assert_ptr_equal(ke_tls_get(ke_teb(), KE_TLS_MAX - 1), &count);
    assert_ptr_equal(ke_teb()->TlsExpansionSlots[KE_TLS_EXPANSION_SLOTS - 1], &count);
    while (count)
        assert_true(ke_tls_free(taken[--count]));
}

struct pair {
    pthread_barrier_t barrier;
    uint32_t index;
    void *seen;
};

static void *see_slot(void *argument)
{
    struct pair *pair = argument;
    ke_tls_set(ke_teb(), pair->index, pair);
    pthread_barrier_wait(&pair->barrier); /* set here */
    pthread_barrier_wait(&pair->barrier); /* freed there */
    pair->seen = ke_tls_get(ke_teb(), pair->index);
    return NULL;
}

static void freeing_a_slot_clears_it_in_every_thread(void **state)
{
    struct pair pair = {.index = ke_tls_alloc(), .seen = &pair};
    pthread_t thread;
    pthread_barrier_init(&pair.barrier, NULL, 2);
    pthread_create(&thread, NULL, see_slot, &pair);
    pthread_barrier_wait(&pair.barrier);
    assert_null(ke_tls_get(ke_teb(), pair.index));
    assert_true(ke_tls_free(pair.index));
    pthread_barrier_wait(&pair.barrier);
    pthread_join(thread, NULL);
    assert_null(pair.seen);
    pthread_barrier_destroy(&pair.barrier);
}

static uintptr_t called_sum;
static int called_count;

static void WINAPI_DEF remember(void *value)
{
    called_sum += (uintptr_t)value;
    called_count++;
}

static uint32_t WINAPI_DEF set_two(void *parameter)
{
    uint32_t *indices = parameter;
    ke_fls_set(ke_teb(), indices[0], (void *)100);
    ke_fls_set(ke_teb(), indices[1], (void *)20);
    return 0;
}

static void fls_callbacks_run_at_the_end_of_a_thread(void **state)
{
    uint32_t indices[2] = {ke_fls_alloc(remember), ke_fls_alloc(remember)}, index;
    struct ob_object *thread;
    called_sum = 0;
    called_count = 0;
    assert_int_equal(ke_thread_create(set_two, indices, 0, false, &thread, NULL, NULL), 0);
    assert_int_equal(ob_wait(&thread, 1, false, OB_INFINITE, ke_thread_id(), &index), 0);
    assert_int_equal(called_count, 2);
    assert_int_equal(called_sum, 120);
    ob_object_unref(thread);
    assert_true(ke_fls_free(indices[0]));
    assert_true(ke_fls_free(indices[1]));
    assert_int_equal(called_count, 2);
}

static void freeing_an_fls_slot_runs_its_callback(void **state)
{
    uint32_t index = ke_fls_alloc(remember);
    called_sum = 0;
    assert_true(ke_fls_valid(index));
    assert_null(ke_fls_get(ke_teb(), index));
    assert_true(ke_fls_set(ke_teb(), index, (void *)5));
    assert_ptr_equal(ke_fls_get(ke_teb(), index), 5);
    assert_true(ke_fls_free(index));
    assert_int_equal(called_sum, 5);
    assert_false(ke_fls_free(index));
    assert_false(ke_fls_valid(index));
    assert_false(ke_fls_valid(0));
    assert_false(ke_fls_valid(KE_FLS_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_where_code_reads_it_inline),
        cmocka_unit_test(slots_go_on_behind_the_teb_and_end),
        cmocka_unit_test(freeing_a_slot_clears_it_in_every_thread),
        cmocka_unit_test(fls_callbacks_run_at_the_end_of_a_thread),
        cmocka_unit_test(freeing_an_fls_slot_runs_its_callback),
    };
    return cmocka_run_group_tests(tests, attach_once, NULL);
}
