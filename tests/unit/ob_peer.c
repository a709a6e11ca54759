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

static const struct {
    const char *name;
    void (*run)(uint32_t first, const uint32_t *more);
} commands[] = {
    {"open", open_process}, {"code", exit_code},     {"exit", leave},  {"blob", make_blob},
    {"value", read_blob},   {"handle", describe},    {"count", count}, {"local", make_local},
    {"dup", duplicate},     {"process", process_of},
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
