/*
 * Events, semaphores and mutexes between processes of both word sizes: states that are shared,
 * waits that end whoever ends them, owners that are killed, and states that make no sense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#include "loader/mm/data.h"
#include "loader/ob/async.h"
#include "loader/ob/bell.h"
#include "loader/ob/owner.h"
#include "loader/ob/port.h"
#include "loader/ob/process.h"
#include "loader/ob/sync_object.h"
#include "tests/unit/peer.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"

enum { ME = 1000, OTHER = 2000, ABANDONED = 0x80, LONG = 20000 };

static int set_up(void **state)
{
    return tempdir_create() == 0 && setenv("XDG_RUNTIME_DIR", tempdir, 1) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

static struct ob_name numbered(uint32_t number)
{
    static uint16_t text[4][16];
    static int turn;
    uint16_t *units = text[turn++ % 4];
    char ascii[16];
    size_t length = (size_t)snprintf(ascii, sizeof ascii, "n%u", number);
    for (size_t i = 0; i < length; i++)
        units[i] = (uint8_t)ascii[i];
    return (struct ob_name){units, length};
}

static struct ob_object *named_event(uint32_t number, bool manual, bool set)
{
    const struct ob_name name = numbered(number);
    struct ob_object *object = NULL;
    ob_event_create_named(&name, false, manual, set, &object, NULL);
    assert_non_null(object);
    return object;
}

static struct ob_object *named_semaphore(uint32_t number, int32_t initial, int32_t maximum)
{
    const struct ob_name name = numbered(number);
    struct ob_object *object = NULL;
    ob_semaphore_create_named(&name, false, initial, maximum, &object, NULL);
    assert_non_null(object);
    return object;
}

static struct ob_object *named_mutex(uint32_t number, uint32_t owner)
{
    const struct ob_name name = numbered(number);
    struct ob_object *object = NULL;
    ob_mutex_create_named(&name, false, owner, &object, NULL);
    assert_non_null(object);
    return object;
}

static nt_status poll_one(struct ob_object *object, uint32_t thread_id, uint32_t *index)
{
    return ob_wait(&object, 1, false, 0, thread_id, index);
}

static int64_t now_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000ll + at.tv_nsec / 1000000;
}

static void pause_ms(long milliseconds)
{
    const struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* A thread of this process that waits. */
struct waiting {
    pthread_t thread;
    struct ob_object *objects[3];
    uint32_t count, timeout, index;
    bool all;
    nt_status status;
    int done;
    int64_t ended;
};

static void *wait_in_thread(void *argument)
{
    struct waiting *w = argument;
    w->status = ob_wait(w->objects, w->count, w->all, w->timeout, ME, &w->index);
    w->ended = now_ms();
    __atomic_store_n(&w->done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void start_waiting(struct waiting *w)
{
    assert_int_equal(pthread_create(&w->thread, NULL, wait_in_thread, w), 0);
    pause_ms(50);
}

static bool is_done(struct waiting *w)
{
    return __atomic_load_n(&w->done, __ATOMIC_SEQ_CST);
}

/* ---- between processes, in both word sizes ------------------------------------------------------
 */

static int peer_word;

static struct peer start_peer(void)
{
    return peer_start_word(peer_word);
}

/* What `name NUMBER ...` made in the peer. */
#define make_there(peer, expected, ...)                                  \
    ({                                                                   \
        uint32_t handle_;                                                \
        assert_status(peer_ask2(peer, &handle_, __VA_ARGS__), expected); \
        handle_;                                                         \
    })

static void events_are_shared(void **state)
{
    struct peer peer = start_peer();
    struct ob_object *event = named_event(1, false, false);
    uint32_t there = make_there(&peer, STATUS_OBJECT_NAME_EXISTS, "event 1 1 1");
    uint32_t index;
    assert_status(peer_ask(&peer, "wait %u 0", there), STATUS_TIMEOUT); /* neither manual nor set */
    peer_tell(&peer, "wait %u %u", there, LONG);
    pause_ms(50);
    assert_false(ob_event_set(event, true));
    assert_status(peer_answer(&peer, &index), STATUS_SUCCESS);
    assert_status(poll_one(event, ME, NULL), STATUS_TIMEOUT); /* it went to the peer */
    struct waiting w = {.objects = {event}, .count = 1, .timeout = LONG};
    start_waiting(&w);
    assert_false(is_done(&w));
    peer_ask(&peer, "set %u 1", there);
    pthread_join(w.thread, NULL);
    assert_status(w.status, STATUS_SUCCESS);
    assert_status(peer_ask(&peer, "wait %u 0", there), STATUS_TIMEOUT);
    ob_object_unref(event);
    peer_exit(&peer, 0);
}

static void waits_end_promptly(void **state)
{
    enum { ROUNDS = 300 };
    struct peer peer = start_peer();
    struct ob_object *here = named_event(1, false, false), *there = named_event(2, false, false);
    uint32_t first = make_there(&peer, STATUS_OBJECT_NAME_EXISTS, "event 1 0 0");
    uint32_t second = make_there(&peer, STATUS_OBJECT_NAME_EXISTS, "event 2 0 0");
    int64_t start = now_ms();
    peer_tell(&peer, "rally %u %u %u", first, second, ROUNDS);
    for (int i = 0; i < ROUNDS; i++) {
        ob_event_set(here, true);
        assert_status(ob_wait(&there, 1, false, LONG, ME, NULL), STATUS_SUCCESS);
    }
    assert_status(peer_answer(&peer, NULL), STATUS_SUCCESS);
    assert_in_range(now_ms() - start, 0, ROUNDS * 20); /* not by looking once a second */
    ob_object_unref(here);
    ob_object_unref(there);
    peer_exit(&peer, 0);
}

static void semaphores_count_for_all(void **state)
{
    struct peer peer = start_peer();
    uint32_t previous;
    uint32_t there = make_there(&peer, STATUS_SUCCESS, "semaphore 3 2 5");
    struct ob_object *here = named_semaphore(3, 0, 1);
    int32_t before = -1, count, maximum;
    assert_status(poll_one(here, ME, NULL), STATUS_SUCCESS);
    assert_status(peer_ask(&peer, "wait %u 0", there), STATUS_SUCCESS);
    assert_status(poll_one(here, ME, NULL), STATUS_TIMEOUT);
    assert_status(ob_semaphore_release(here, 4, &before), STATUS_SUCCESS);
    assert_int_equal(before, 0);
    assert_status(peer_ask2(&peer, &previous, "release %u 2", there),
                  STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    assert_status(peer_ask2(&peer, &previous, "release %u 1", there), STATUS_SUCCESS);
    assert_int_equal(previous, 4);
    ob_semaphore_query(here, &count, &maximum);
    assert_int_equal(count, 5);
    assert_int_equal(maximum, 5);
    ob_object_unref(here);
    peer_exit(&peer, 0);
}

static void mutexes_exclude(void **state)
{
    struct peer peer = start_peer();
    uint32_t there = make_there(&peer, STATUS_SUCCESS, "mutex 4 1");
    struct ob_object *here = named_mutex(4, ME); /* exists: not owned by this thread */
    uint32_t index = 7;
    int32_t count;
    bool mine, abandoned;
    assert_status(poll_one(here, ME, NULL), STATUS_TIMEOUT);
    assert_status(ob_mutex_release(here, ME), STATUS_MUTANT_NOT_OWNED);
    assert_status(ob_mutex_release(here, 1), STATUS_MUTANT_NOT_OWNED);  /* nor by thread 1 here */
    assert_status(peer_ask(&peer, "wait %u 0", there), STATUS_SUCCESS); /* twice */
    ob_mutex_query(here, ME, &count, &mine, &abandoned);
    assert_int_equal(count, -1);
    assert_false(mine || abandoned);
    assert_status(peer_ask(&peer, "unlock %u", there), STATUS_SUCCESS);
    struct waiting w = {.objects = {here}, .count = 1, .timeout = LONG};
    start_waiting(&w);
    assert_false(is_done(&w));
    assert_status(peer_ask(&peer, "unlock %u", there), STATUS_SUCCESS);
    pthread_join(w.thread, NULL);
    assert_status(w.status, STATUS_SUCCESS);
    assert_int_equal(w.index, 0);
    assert_status(peer_ask2(&peer, &index, "wait %u 0", there), STATUS_TIMEOUT);
    assert_status(ob_mutex_release(here, ME), STATUS_SUCCESS);
    assert_status(peer_ask2(&peer, &index, "wait %u 0", there), STATUS_SUCCESS);
    assert_int_equal(index, 0);
    ob_object_unref(here);
    peer_exit(&peer, 0);
}

static void a_killed_owner_wakes_a_waiter(void **state)
{
    struct peer peer = start_peer();
    make_there(&peer, STATUS_SUCCESS, "mutex 5 1");
    struct ob_object *here = named_mutex(5, 0), *never = ob_event_create(true, false);
    struct waiting w = {.objects = {never, here}, .count = 2, .timeout = LONG};
    start_waiting(&w);
    assert_false(is_done(&w));
    int64_t start = now_ms();
    assert_int_equal(kill(peer.pid, SIGKILL), 0);
    pthread_join(w.thread, NULL); /* it is a zombie, nobody has waited for it */
    assert_status(w.status, STATUS_SUCCESS);
    assert_int_equal(w.index, ABANDONED + 1);
    assert_in_range(w.ended - start, 0, 900); /* told, not seen by looking once a second */
    assert_status(ob_mutex_release(here, ME), STATUS_SUCCESS);
    assert_status(poll_one(here, ME, &w.index), STATUS_SUCCESS);
    assert_int_equal(w.index, 0);
    peer_reap(&peer);
    ob_object_unref(here);
    ob_object_unref(never);
}

static void a_killed_owner_is_noticed_later(void **state)
{
    struct peer peer = start_peer();
    make_there(&peer, STATUS_SUCCESS, "mutex 6 1");
    struct ob_object *here = named_mutex(6, 0);
    uint32_t index;
    int32_t count;
    bool mine, abandoned;
    assert_status(poll_one(here, ME, &index), STATUS_TIMEOUT);
    peer_kill(&peer);
    ob_mutex_query(here, ME, &count, &mine, &abandoned);
    assert_true(abandoned);
    assert_status(poll_one(here, ME, &index), STATUS_SUCCESS);
    assert_int_equal(index, ABANDONED);
    ob_object_unref(here);
}

/* The end of a thread in a process that goes on, with its handle open and closed. */
static void threads_that_end_abandon(void **state)
{
    for (int closed = 0; closed < 2; closed++) {
        struct peer peer = start_peer();
        uint32_t there = make_there(&peer, STATUS_SUCCESS, "mutex 7 1");
        struct ob_object *here = named_mutex(7, 0);
        struct waiting w = {.objects = {here}, .count = 1, .timeout = LONG};
        if (closed)
            assert_status(peer_ask(&peer, "close %u", there), STATUS_SUCCESS);
        start_waiting(&w);
        assert_false(is_done(&w));
        peer_ask(&peer, "abandon");
        pthread_join(w.thread, NULL);
        assert_status(w.status, STATUS_SUCCESS);
        assert_int_equal(w.index, ABANDONED);
        ob_object_unref(here);
        peer_exit(&peer, 0);
    }
}

static void local_and_shared_objects_mix(void **state)
{
    struct peer peer = start_peer();
    struct ob_object *local = ob_event_create(false, false), *shared = named_event(8, false, false);
    uint32_t there = make_there(&peer, STATUS_OBJECT_NAME_EXISTS, "event 8 0 0");
    for (int all = 0; all < 2; all++) {
        for (int first = 0; first < 2; first++) {
            struct waiting w = {
                .objects = {local, shared}, .count = 2, .all = all, .timeout = LONG};
            start_waiting(&w);
            for (int turn = 0; turn <= all; turn++) {
                assert_false(is_done(&w));
                int64_t start = now_ms();
                if ((first ^ turn) == 0)
                    ob_event_set(local, true);
                else
                    peer_ask(&peer, "set %u 1", there);
                assert_in_range(now_ms() - start, 0, 900);
                if (turn < all)
                    pause_ms(50);
            }
            pthread_join(w.thread, NULL);
            assert_status(w.status, STATUS_SUCCESS);
            assert_int_equal(w.index, all ? 0 : first);
            assert_status(poll_one(local, ME, NULL), STATUS_TIMEOUT);
            assert_status(peer_ask(&peer, "wait %u 0", there), STATUS_TIMEOUT);
        }
    }
    struct waiting w = {.objects = {local, shared}, .count = 2, .timeout = 100};
    int64_t start = now_ms();
    start_waiting(&w);
    pthread_join(w.thread, NULL);
    assert_status(w.status, STATUS_TIMEOUT);
    assert_in_range(w.ended - start, 99, 5000);
    ob_object_unref(local);
    ob_object_unref(shared);
    peer_exit(&peer, 0);
}

/* Two processes take the same two semaphores at once, named in either order. */
static void waits_for_all_leave_no_part(void **state)
{
    enum { ROUNDS = 2000 };
    struct peer one = start_peer(), two = start_peer();
    struct ob_object *both[2] = {named_semaphore(10, 1, 1), named_semaphore(11, 1, 1)};
    uint32_t a1 = make_there(&one, STATUS_OBJECT_NAME_EXISTS, "semaphore 10 1 1");
    uint32_t b1 = make_there(&one, STATUS_OBJECT_NAME_EXISTS, "semaphore 11 1 1");
    uint32_t a2 = make_there(&two, STATUS_OBJECT_NAME_EXISTS, "semaphore 10 1 1");
    uint32_t b2 = make_there(&two, STATUS_OBJECT_NAME_EXISTS, "semaphore 11 1 1");
    peer_tell(&one, "all %u %u %u", a1, b1, ROUNDS);
    peer_tell(&two, "all %u %u %u", b2, a2, ROUNDS);
    for (int i = 0; i < ROUNDS; i++) {
        assert_status(ob_wait(both, 2, true, LONG, ME, NULL), STATUS_SUCCESS);
        for (int j = 0; j < 2; j++)
            assert_status(ob_semaphore_release(both[j], 1, NULL), STATUS_SUCCESS);
    }
    assert_status(peer_answer(&one, NULL), STATUS_SUCCESS);
    assert_status(peer_answer(&two, NULL), STATUS_SUCCESS);
    for (int j = 0; j < 2; j++) {
        int32_t count, maximum;
        ob_semaphore_query(both[j], &count, &maximum);
        assert_int_equal(count, 1);
        ob_object_unref(both[j]);
    }
    peer_exit(&one, 0);
    peer_exit(&two, 0);
}

/* ---- objects that get to be shared --------------------------------------------------------------
 */

/* Gives the peer a handle to the object. */
static uint32_t give(struct peer *peer, struct ob_object *object)
{
    struct ob_object *self = ob_process_current(), *target = NULL;
    uint32_t source = ob_handle_create(object, 0, 0), handle = 0;
    assert_status(ob_service_start(NULL), STATUS_SUCCESS);
    assert_status(ob_process_open((uint32_t)peer->pid, &target, NULL), STATUS_SUCCESS);
    assert_status(ob_duplicate(self, source, target, &handle, 0, 0, 2, NULL), STATUS_SUCCESS);
    ob_handle_close(source);
    ob_object_unref(self);
    ob_object_unref(target);
    return handle;
}

static void an_object_gets_shared_while_waited_for(void **state)
{
    struct peer peer = start_peer();
    struct ob_object *event = ob_event_create(false, false), *never = ob_event_create(true, false);
    struct waiting w = {.objects = {never, event}, .count = 2, .timeout = LONG};
    start_waiting(&w);
    assert_false(ob_is_shared(event));
    uint32_t there = give(&peer, event);
    assert_true(ob_is_shared(event));
    pause_ms(20);
    assert_false(is_done(&w));
    int64_t start = now_ms();
    peer_ask(&peer, "set %u 1", there);
    pthread_join(w.thread, NULL);
    assert_status(w.status, STATUS_SUCCESS);
    assert_int_equal(w.index, 1);
    assert_in_range(w.ended - start, 0, 900);
    assert_int_equal(give(&peer, event) != there, true); /* the same record again */
    ob_event_set(event, true);
    assert_status(peer_ask(&peer, "wait %u 0", there), STATUS_SUCCESS);
    ob_object_unref(event);
    ob_object_unref(never);
    peer_exit(&peer, 0);
}

static void an_owned_mutex_gets_shared(void **state)
{
    struct peer peer = start_peer();
    struct ob_object *mutex = ob_mutex_create(ME);
    uint32_t index;
    assert_status(poll_one(mutex, ME, NULL), STATUS_SUCCESS);
    uint32_t there = give(&peer, mutex);
    assert_status(peer_ask(&peer, "wait %u 0", there), STATUS_TIMEOUT);
    assert_status(ob_mutex_release(mutex, ME), STATUS_SUCCESS);
    assert_status(peer_ask(&peer, "wait %u 0", there), STATUS_TIMEOUT);
    peer_tell(&peer, "wait %u %u", there, LONG);
    pause_ms(50);
    ob_mutex_abandon_all(ME);
    assert_status(peer_answer(&peer, &index), STATUS_SUCCESS);
    assert_int_equal(index, ABANDONED);
    assert_status(poll_one(mutex, ME, NULL), STATUS_TIMEOUT);
    peer_kill(&peer);
    assert_status(poll_one(mutex, ME, &index), STATUS_SUCCESS);
    assert_int_equal(index, ABANDONED);
    ob_object_unref(mutex);
}

static void semaphores_get_shared(void **state)
{
    struct peer peer = start_peer();
    struct ob_object *semaphore = ob_semaphore_create(2, 9);
    uint32_t there = give(&peer, semaphore), previous;
    assert_status(peer_ask2(&peer, &previous, "release %u 3", there), STATUS_SUCCESS);
    assert_int_equal(previous, 2);
    for (int i = 0; i < 5; i++)
        assert_status(poll_one(semaphore, ME, NULL), STATUS_SUCCESS);
    assert_status(poll_one(semaphore, ME, NULL), STATUS_TIMEOUT);
    ob_object_unref(semaphore); /* the peer has it still */
    assert_status(peer_ask2(&peer, &previous, "release %u 1", there), STATUS_SUCCESS);
    peer_exit(&peer, 0);
}

/* A wait without a thread is told by another process. */
static void completion_packets_listen(void **state)
{
    for (int late = 0; late < 2; late++) {
        struct peer peer = start_peer();
        struct ob_object *event =
            late ? ob_event_create(false, false) : named_event(9, false, false);
        struct ob_object *packet = ob_wait_packet_create(), *port = ob_port_create();
        const struct ob_completion completion = {.key = 77};
        struct ob_completion got = {0};
        bool signaled = true;
        assert_status(ob_wait_packet_associate(packet, port, event, &completion, ME, &signaled),
                      STATUS_SUCCESS);
        assert_false(signaled);
        uint32_t there = give(&peer, event);
        int64_t start = now_ms();
        peer_ask(&peer, "set %u 1", there);
        assert_status(ob_wait(&port, 1, false, LONG, ME, NULL), STATUS_SUCCESS);
        assert_in_range(now_ms() - start, 0, 900);
        assert_int_equal(ob_port_take(port, &got, 1), 1);
        assert_int_equal(got.key, 77);
        assert_status(poll_one(event, ME, NULL), STATUS_TIMEOUT); /* the packet took it */
        ob_object_unref(packet);
        ob_object_unref(port);
        ob_object_unref(event);
        peer_exit(&peer, 0);
    }
}

static void pulses_reach_other_processes(void **state)
{
    struct peer peer = start_peer();
    struct ob_object *event = named_event(12, true, false);
    uint32_t there = make_there(&peer, STATUS_OBJECT_NAME_EXISTS, "event 12 0 0");
    peer_tell(&peer, "wait %u %u", there, LONG);
    pause_ms(50);
    for (int i = 0; i < 50; i++) /* one may be missed, as Microsoft says */
        assert_false(ob_event_pulse(event));
    assert_status(peer_answer(&peer, NULL), STATUS_SUCCESS);
    assert_status(poll_one(event, ME, NULL), STATUS_TIMEOUT);
    ob_object_unref(event);
    peer_exit(&peer, 0);
}

/* ---- killing in the middle ----------------------------------------------------------------------
 */

/* Rounds of processes that are killed wherever they are leave objects that work. */
static void kills_break_nothing(void **state)
{
    enum { ROUNDS = 30 };
    struct ob_object *both[2] = {named_semaphore(20, 1, 1000), named_semaphore(21, 1, 1000)};
    struct ob_object *mutex = named_mutex(22, 0);
    for (int round = 0; round < ROUNDS; round++) {
        struct peer peer = start_peer();
        uint32_t a, b, index;
        peer_ask2(&peer, &a, "semaphore 20 1 1");
        peer_ask2(&peer, &b, "semaphore 21 1 1");
        make_there(&peer, STATUS_OBJECT_NAME_EXISTS, "mutex 22 1");
        peer_tell(&peer, "all %u %u 1000000", a, b);
        pause_ms(round % 5);
        peer_kill(&peer);
        /* It may have died with either of them: give them back what they had. */
        for (int i = 0; i < 2; i++) {
            int32_t count, maximum;
            ob_semaphore_query(both[i], &count, &maximum);
            assert_in_range(count, 0, 1);
            assert_int_equal(maximum, 1000);
            if (count == 0)
                assert_status(ob_semaphore_release(both[i], 1, NULL), STATUS_SUCCESS);
        }
        assert_status(ob_wait(both, 2, true, 0, ME, NULL), STATUS_SUCCESS);
        assert_status(ob_semaphore_release(both[0], 1, NULL), STATUS_SUCCESS);
        assert_status(ob_semaphore_release(both[1], 1, NULL), STATUS_SUCCESS);
        assert_status(poll_one(mutex, ME, &index), STATUS_SUCCESS);
        assert_status(ob_mutex_release(mutex, ME), STATUS_SUCCESS);
    }
    ob_object_unref(both[0]);
    ob_object_unref(both[1]);
    ob_object_unref(mutex);
}

/* ---- states that others have written ------------------------------------------------------------
 */

static struct ob_sync_state *state_of(struct ob_object *object)
{
    return ((struct ob_sync *)object)->state;
}

static void senseless_states_harm_nobody(void **state)
{
    static const uint64_t words[] = {0,
                                     1,
                                     2,
                                     3,
                                     5,
                                     UINT64_MAX,
                                     UINT64_C(1) << 63,
                                     0x80000000,
                                     0x7FFFFFFF,
                                     UINT64_C(0x7FFFFFFF80000000),
                                     UINT64_C(0x8000000000000001),
                                     UINT64_C(0xFFFFFFFFFFFFFFFE),
                                     UINT64_C(1) << 22 | 1,  /* process 1 */
                                     UINT64_C(77777) << 22}; /* a thread without number */
    struct ob_object *objects[] = {named_event(30, false, false), named_semaphore(31, 0, 1),
                                   named_mutex(32, 0)};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        for (int i = 0; i < 3; i++) {
            uint32_t index;
            int32_t count, maximum;
            bool one, two;
            char text[64];
            state_of(objects[i])->word = words[w];
            state_of(objects[i])->recursion = (uint32_t)words[w];
            poll_one(objects[i], ME, &index);
            ob_wait(&objects[i], 1, false, 3, OTHER, &index);
            ob_sync_describe((uint32_t)i + OB_TYPE_EVENT, state_of(objects[i]), text, sizeof text);
            if (i == 0) {
                ob_event_set(objects[i], true);
                assert_status(poll_one(objects[i], ME, &index), STATUS_SUCCESS);
                ob_event_query(objects[i], &one, &two);
            } else if (i == 1) {
                ob_semaphore_release(objects[i], INT32_MAX, NULL);
                ob_semaphore_release(objects[i], 1, &count);
                ob_semaphore_query(objects[i], &count, &maximum);
            } else {
                ob_mutex_query(objects[i], ME, &count, &one, &two);
                ob_mutex_release(objects[i], ME);
                ob_mutex_release(objects[i], ME);
            }
        }
        ob_wait(objects, 3, true, 0, ME, NULL);
        ob_mutex_abandon_all(ME);
        ob_mutex_abandon_all(OTHER);
    }
    for (int i = 0; i < 3; i++)
        ob_object_unref(objects[i]);
}

/* No process has that owner's number: the mutex is taken for abandoned, not for owned for ever. */
static void impossible_owners_are_dead(void **state)
{
    struct ob_object *mutex = named_mutex(33, 0);
    uint32_t index = 0;
    state_of(mutex)->word = ob_owner(ME) ^ UINT64_C(1) << 63; /* another start time */
    assert_status(poll_one(mutex, ME, &index), STATUS_SUCCESS);
    assert_int_equal(index, ABANDONED);
    state_of(mutex)->recursion = 0;
    assert_status(ob_mutex_release(mutex, ME), STATUS_SUCCESS);
    assert_status(poll_one(mutex, OTHER, &index), STATUS_SUCCESS);
    assert_int_equal(index, 0);
    ob_object_unref(mutex);
}

static void states_are_described(void **state)
{
    static const struct {
        uint32_t type;
        uint64_t word;
        bool sound;
        const char *text;
    } cases[] = {
        {OB_TYPE_EVENT, 0, true, "auto-reset, not set"},
        {OB_TYPE_EVENT, OB_EVENT_MANUAL | OB_EVENT_SET, true, "manual-reset, set"},
        {OB_TYPE_EVENT, 4, false, "auto-reset, not set"},
        {OB_TYPE_SEMAPHORE, OB_SEMAPHORE(2, 5), true, "2 of 5"},
        {OB_TYPE_SEMAPHORE, OB_SEMAPHORE(6, 5), false, "6 of 5"},
        {OB_TYPE_MUTEX, OB_MUTEX_FREE, true, "free"},
        {OB_TYPE_MUTEX, OB_MUTEX_ABANDONED, true, "abandoned"},
        {OB_TYPE_MUTEX, 12345678, true, "owned"},
    };
    char text[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct ob_sync_state words = {.word = cases[i].word};
        assert_int_equal(ob_sync_describe(cases[i].type, &words, text, sizeof text),
                         cases[i].sound);
        assert_string_equal(text, cases[i].text);
    }
    assert_false(ob_sync_describe(OB_TYPE_SECTION, cases, text, sizeof text));
}

/* ---- one process --------------------------------------------------------------------------------
 */

static void names_and_nameless_ones(void **state)
{
    const struct ob_name none = {0}, name = numbered(40);
    struct ob_object *object, *again;
    assert_status(ob_event_create_named(&none, false, true, true, &object, NULL), STATUS_SUCCESS);
    assert_false(ob_is_shared(object));
    ob_object_unref(object);
    assert_status(ob_mutex_create_named(&name, false, ME, &object, NULL), STATUS_SUCCESS);
    assert_true(ob_is_shared(object));
    assert_status(ob_mutex_create_named(&name, false, OTHER, &again, NULL),
                  STATUS_OBJECT_NAME_EXISTS);
    assert_ptr_equal(object, again);
    assert_status(ob_event_create_named(&name, false, true, true, &again, NULL),
                  STATUS_OBJECT_TYPE_MISMATCH);
    assert_status(ob_record_open(&name, false, &ob_semaphore_record, &again, NULL),
                  STATUS_OBJECT_TYPE_MISMATCH);
    assert_status(ob_record_open(&name, false, &ob_mutex_record, &again, NULL), STATUS_SUCCESS);
    assert_status(ob_semaphore_create_named(&name, false, 2, 1, &again, NULL),
                  STATUS_INVALID_PARAMETER);
    assert_status(poll_one(object, OTHER, NULL), STATUS_TIMEOUT);
    assert_status(ob_mutex_release(object, ME), STATUS_SUCCESS);
    for (int i = 0; i < 3; i++)
        ob_object_unref(object);
    assert_status(ob_record_open(&name, false, &ob_mutex_record, &again, NULL),
                  STATUS_OBJECT_NAME_NOT_FOUND);
}

/* Closed by its owner with no other holder: there is nothing to abandon. */
static void an_owned_mutex_goes_with_its_name(void **state)
{
    for (int i = 0; i < 100; i++)
        ob_object_unref(named_mutex(41, ME));
    ob_mutex_abandon_all(ME);
    struct ob_object *fresh = named_mutex(41, 0);
    uint32_t index;
    assert_status(poll_one(fresh, OTHER, &index), STATUS_SUCCESS);
    assert_int_equal(index, 0);
    assert_status(ob_mutex_release(fresh, OTHER), STATUS_SUCCESS);
    ob_object_unref(fresh);
}

enum { THREADS = 4, ROUNDS = 3000 };
static struct ob_object *stress_mutex;
static int inside, total;

static void *stress(void *argument)
{
    uint32_t me = (uint32_t)(uintptr_t)argument;
    uintptr_t failures = 0;
    for (int i = 0; i < ROUNDS; i++) {
        failures += ob_wait(&stress_mutex, 1, false, LONG, me, NULL) != STATUS_SUCCESS;
        failures += inside++ != 0;
        total++;
        inside--;
        failures += ob_mutex_release(stress_mutex, me) != STATUS_SUCCESS;
    }
    return (void *)failures;
}

static void threads_share_a_named_mutex(void **state)
{
    pthread_t threads[THREADS];
    stress_mutex = named_mutex(42, 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, stress, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failures = NULL;
        pthread_join(threads[i], &failures);
        assert_null(failures);
    }
    assert_int_equal(total, THREADS * ROUNDS);
    ob_object_unref(stress_mutex);
}

static int own_word(void **state)
{
    peer_word = (int)sizeof(void *) * 8;
    return 0;
}

/* The same with the other word size, where it is built. */
static int other_word(void **state)
{
    peer_word = (int)sizeof(void *) == 8 ? 32 : 64;
    if (!peer_has_word(peer_word))
        peer_word = (int)sizeof(void *) * 8;
    return 0;
}

#define BOTH_WORDS(f) cmocka_unit_test_setup(f, own_word), cmocka_unit_test_setup(f, other_word)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_WORDS(events_are_shared),
        BOTH_WORDS(waits_end_promptly),
        BOTH_WORDS(semaphores_count_for_all),
        BOTH_WORDS(mutexes_exclude),
        BOTH_WORDS(a_killed_owner_wakes_a_waiter),
        BOTH_WORDS(a_killed_owner_is_noticed_later),
        BOTH_WORDS(threads_that_end_abandon),
        BOTH_WORDS(local_and_shared_objects_mix),
        BOTH_WORDS(waits_for_all_leave_no_part),
        BOTH_WORDS(an_object_gets_shared_while_waited_for),
        BOTH_WORDS(an_owned_mutex_gets_shared),
        BOTH_WORDS(semaphores_get_shared),
        BOTH_WORDS(completion_packets_listen),
        BOTH_WORDS(pulses_reach_other_processes),
        BOTH_WORDS(kills_break_nothing),
        cmocka_unit_test(senseless_states_harm_nobody),
        cmocka_unit_test(impossible_owners_are_dead),
        cmocka_unit_test(states_are_described),
        cmocka_unit_test(names_and_nameless_ones),
        cmocka_unit_test(an_owned_mutex_goes_with_its_name),
        cmocka_unit_test(threads_share_a_named_mutex),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
