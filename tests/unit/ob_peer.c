/*
 * The other process of tests between processes (peer.h): does what the lines on its standard input
 * say, one answer a line.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ob/process.h"
#include "loader/ob/sync.h"
#include "tests/unit/blob.h"
#include "tests/unit/peer.h"

static struct ob_object *process; /* of the last "open" */

static void say(uint32_t first, uint32_t second)
{
    printf("%" PRIu32 " %" PRIu32 "\n", first, second);
    fflush(stdout);
}

static void open_process(uint32_t id, const uint32_t *more)
{
    if (process)
        ob_object_unref(process);
    process = NULL;
    say(ob_process_open(id, &process, NULL), 0);
}

static void exit_code(uint32_t unused, const uint32_t *more)
{
    ob_wait(&process, 1, false, 10000, 1, NULL);
    say(ob_process_exit_code(process), 0);
}

static void leave(uint32_t code, const uint32_t *more)
{
    exit((int)code);
}

/* blob VALUE: a handle to a new object */
static void make_blob(uint32_t value, const uint32_t *more)
{
    struct ob_object *blob = blob_create(value);
    say(ob_handle_create(blob, 0x5A, 1), 0);
    ob_object_unref(blob);
}

/* value HANDLE: status and value */
static void read_blob(uint32_t handle, const uint32_t *more)
{
    struct ob_object *blob;
    nt_status status = ob_handle_get(handle, &blob_type, &blob, NULL);
    say(status, nt_ok(status) ? blob_value(blob) : 0);
    if (nt_ok(status))
        ob_object_unref(blob);
}

/* handle HANDLE: access and flags */
static void describe(uint32_t handle, const uint32_t *more)
{
    struct ob_object *object;
    uint32_t access = 0xFFFFFFFF, flags = 0;
    if (nt_ok(ob_handle_get(handle, NULL, &object, &access)))
        ob_object_unref(object);
    ob_handle_flags(handle, 0, 0, &flags);
    say(access, flags);
}

static nt_status count_one(void *user, uint32_t handle, struct ob_object *object, uint32_t access,
                           uint32_t flags)
{
    ++*(uint32_t *)user;
    return STATUS_SUCCESS;
}

/* count: handles and descriptors */
static void count(uint32_t unused, const uint32_t *more)
{
    uint32_t handles = 0;
    ob_handle_each(true, count_one, &handles);
    say(handles, count_descriptors());
}

/* local: a handle to an object that cannot leave */
static void make_local(uint32_t unused, const uint32_t *more)
{
    static const struct ob_type local_type = {.name = "Local"};
    struct ob_object *object = ob_object_create(&local_type, sizeof *object);
    say(ob_handle_create(object, 0, 0), 0);
    ob_object_unref(object);
}

/* process HANDLE: the process behind it: status and id */
static void process_of(uint32_t handle, const uint32_t *more)
{
    struct ob_object *object;
    nt_status status = ob_handle_get(handle, &ob_process_type, &object, NULL);
    say(status, nt_ok(status) ? ob_process_id(object) : 0);
    if (nt_ok(status))
        ob_object_unref(object);
}

/* ended HANDLE: the exit code of the process behind it, once it has ended */
static void code_of(uint32_t handle, const uint32_t *more)
{
    struct ob_object *object;
    uint32_t code = 0;
    if (nt_ok(ob_handle_get(handle, &ob_process_type, &object, NULL))) {
        ob_wait(&object, 1, false, 10000, 1, NULL);
        code = ob_process_exit_code(object);
        ob_object_unref(object);
    }
    say(code, 0);
}

/* dup FROM HANDLE TO ACCESS FLAGS OPTIONS: status and new handle */
static void duplicate(uint32_t from, const uint32_t *more)
{
    struct ob_object *source = NULL, *target = NULL;
    uint32_t handle = 0;
    nt_status status = ob_process_open(from, &source, NULL);
    if (nt_ok(status))
        status = ob_process_open(more[1], &target, NULL);
    if (nt_ok(status))
        status = ob_duplicate(source, more[0], target, &handle, more[2], more[3], more[4], NULL);
    if (source)
        ob_object_unref(source);
    if (target)
        ob_object_unref(target);
    say(status, handle);
}

/* ---- synchronisation objects: named n0, n1, ... ------------------------------------------------
 */

enum { PEER_THREAD = 1 };

static struct ob_name numbered(uint32_t number, uint16_t text[16])
{
    char ascii[16];
    size_t length = (size_t)snprintf(ascii, sizeof ascii, "n%" PRIu32, number);
    for (size_t i = 0; i < length; i++)
        text[i] = (uint8_t)ascii[i];
    return (struct ob_name){text, length};
}

static void say_handle(nt_status status, struct ob_object *const *made)
{
    struct ob_object *object = *made;
    uint32_t handle = 0;
    if (nt_ok(status)) {
        handle = ob_handle_create(object, 0, 0);
        ob_object_unref(object);
    }
    say(status, handle);
}

/* event N MANUAL SET */
static void make_event(uint32_t number, const uint32_t *more)
{
    uint16_t text[16];
    const struct ob_name name = numbered(number, text);
    struct ob_object *object = NULL;
    say_handle(ob_event_create_named(&name, false, more[0], more[1], &object, NULL), &object);
}

/* semaphore N INITIAL MAXIMUM */
static void make_semaphore(uint32_t number, const uint32_t *more)
{
    uint16_t text[16];
    const struct ob_name name = numbered(number, text);
    struct ob_object *object = NULL;
    say_handle(
        ob_semaphore_create_named(&name, false, (int32_t)more[0], (int32_t)more[1], &object, NULL),
        &object);
}

/* mutex N OWNED */
static void make_mutex(uint32_t number, const uint32_t *more)
{
    uint16_t text[16];
    const struct ob_name name = numbered(number, text);
    struct ob_object *object = NULL;
    say_handle(ob_mutex_create_named(&name, false, more[0] ? PEER_THREAD : 0, &object, NULL),
               &object);
}

static struct ob_object *sync_of(uint32_t handle, const struct ob_type *type)
{
    struct ob_object *object = NULL;
    if (!nt_ok(ob_handle_get(handle, type, &object, NULL)))
        exit(3);
    return object;
}

/* wait HANDLE MILLISECONDS: status and index */
static void wait_one(uint32_t handle, const uint32_t *more)
{
    struct ob_object *object = sync_of(handle, NULL);
    uint32_t index = 0;
    nt_status status = ob_wait(&object, 1, false, more[0], PEER_THREAD, &index);
    ob_object_unref(object);
    say(status, index);
}

/* all HANDLE HANDLE ROUNDS: takes both semaphores and releases them, so often */
static void wait_for_both(uint32_t first, const uint32_t *more)
{
    struct ob_object *both[2] = {sync_of(first, NULL), sync_of(more[0], NULL)};
    nt_status status = STATUS_SUCCESS;
    for (uint32_t i = 0; i < more[1] && status == STATUS_SUCCESS; i++) {
        status = ob_wait(both, 2, true, 10000, PEER_THREAD, NULL);
        for (int j = 0; j < 2 && status == STATUS_SUCCESS; j++)
            status = ob_semaphore_release(both[j], 1, NULL);
    }
    ob_object_unref(both[0]);
    ob_object_unref(both[1]);
    say(status, 0);
}

/* rally MINE OTHER ROUNDS: waits for one event and sets the other, so often */
static void rally(uint32_t mine, const uint32_t *more)
{
    struct ob_object *events[2] = {sync_of(mine, &ob_event_type), sync_of(more[0], &ob_event_type)};
    nt_status status = STATUS_SUCCESS;
    for (uint32_t i = 0; i < more[1] && status == STATUS_SUCCESS; i++) {
        status = ob_wait(events, 1, false, 10000, PEER_THREAD, NULL);
        ob_event_set(events[1], true);
    }
    ob_object_unref(events[0]);
    ob_object_unref(events[1]);
    say(status, 0);
}

/* set HANDLE STATE */
static void set_event(uint32_t handle, const uint32_t *more)
{
    struct ob_object *event = sync_of(handle, &ob_event_type);
    say(ob_event_set(event, more[0]), 0);
    ob_object_unref(event);
}

/* release HANDLE COUNT: status and previous count */
static void release_semaphore(uint32_t handle, const uint32_t *more)
{
    struct ob_object *semaphore = sync_of(handle, &ob_semaphore_type);
    int32_t previous = -1;
    nt_status status = ob_semaphore_release(semaphore, (int32_t)more[0], &previous);
    ob_object_unref(semaphore);
    say(status, (uint32_t)previous);
}

/* unlock HANDLE */
static void unlock_mutex(uint32_t handle, const uint32_t *more)
{
    struct ob_object *mutex = sync_of(handle, &ob_mutex_type);
    say(ob_mutex_release(mutex, PEER_THREAD), 0);
    ob_object_unref(mutex);
}

/* abandon: as the end of the thread that owns mutexes */
static void abandon(uint32_t unused, const uint32_t *more)
{
    ob_mutex_abandon_all(PEER_THREAD);
    say(0, 0);
}

/* close HANDLE */
static void close_handle(uint32_t handle, const uint32_t *more)
{
    say(ob_handle_close(handle), 0);
}

static const struct {
    const char *name;
    void (*run)(uint32_t first, const uint32_t *more);
} commands[] = {
    {"open", open_process},   {"code", exit_code},   {"exit", leave},
    {"blob", make_blob},      {"value", read_blob},  {"handle", describe},
    {"count", count},         {"local", make_local}, {"dup", duplicate},
    {"process", process_of},  {"event", make_event}, {"semaphore", make_semaphore},
    {"mutex", make_mutex},    {"wait", wait_one},    {"all", wait_for_both},
    {"rally", rally},         {"set", set_event},    {"release", release_semaphore},
    {"unlock", unlock_mutex}, {"abandon", abandon},  {"close", close_handle},
    {"ended", code_of},
};

int main(void)
{
    char line[256], name[32];
    blob_register();
    if (!nt_ok(ob_service_start(NULL)))
        return 1;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        uint32_t n[6] = {0};
        if (sscanf(line,
                   "%31s %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32,
                   name, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5]) < 1)
            return 2;
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
            if (strcmp(commands[i].name, name) == 0)
                commands[i].run(n[0], n + 1);
    }
    return 0;
}
