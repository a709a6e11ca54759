/*
 * Completion ports and wait completion packets (see port.h). All state is under the wait lock.
 */
#include "loader/ob/port.h"

#include <stddef.h>
#include <stdlib.h>

#include "loader/ob/async.h"

enum {
    STATUS_PENDING = 0x103,
    STATUS_INVALID_PARAMETER_1 = (int)0xC00000EF,
    STATUS_CANCELLED = (int)0xC0000120,
};

struct entry {
    struct entry *next, *prev;
    struct ob_completion completion;
    struct wait_packet *packet; /* whose part this is; NULL = memory of its own */
};

struct port {
    struct ob_object object;
    struct entry queue;
    uint32_t depth;
};

struct wait_packet {
    struct ob_object object;
    struct ob_async async;
    struct entry entry;
    bool queued;
    struct port *port; /* a reference, like async.object, until the next use or the end */
};

static void enqueue(struct port *port, struct entry *entry)
{
    entry->next = &port->queue;
    entry->prev = port->queue.prev;
    entry->prev->next = port->queue.prev = entry;
    port->depth++;
}

static void dequeue(struct port *port, struct entry *entry)
{
    entry->next->prev = entry->prev;
    entry->prev->next = entry->next;
    port->depth--;
}

static bool port_signaled(struct ob_object *object, uint32_t thread_id)
{
    return ((struct port *)object)->depth != 0;
}

/* Packets of waits hold a reference to the port, so that only posted ones are left here. */
static void port_destroy(struct ob_object *object)
{
    struct port *port = (struct port *)object;
    while (port->queue.next != &port->queue) {
        struct entry *entry = port->queue.next;
        dequeue(port, entry);
        free(entry);
    }
}

const struct ob_type ob_port_type = {
    .name = "IoCompletion",
    .destroy = port_destroy,
    .signaled = port_signaled,
};

struct ob_object *ob_port_create(void)
{
    struct port *port = ob_object_create(&ob_port_type, sizeof(*port));
    if (!port)
        return NULL;
    port->queue.next = port->queue.prev = &port->queue;
    return &port->object;
}

nt_status ob_port_post(struct ob_object *object, const struct ob_completion *completion)
{
    struct entry *entry = malloc(sizeof(*entry));
    if (!entry)
        return STATUS_NO_MEMORY;
    *entry = (struct entry){.completion = *completion};
    ob_wait_lock();
    enqueue((struct port *)object, entry);
    ob_wait_wake();
    ob_wait_unlock();
    return STATUS_SUCCESS;
}

/* Up to `count` packets; memory to free goes to `*done`. Wait lock held. */
static uint32_t take(struct port *port, struct ob_completion *completions, uint32_t count,
                     struct entry **done)
{
    uint32_t taken = 0;
    while (taken < count && port->depth) {
        struct entry *entry = port->queue.next;
        completions[taken++] = entry->completion;
        dequeue(port, entry);
        if (entry->packet) {
            entry->packet->queued = false;
        } else {
            entry->next = *done;
            *done = entry;
        }
    }
    return taken;
}

uint32_t ob_port_take(struct ob_object *object, struct ob_completion *completions, uint32_t count)
{
    struct entry *done = NULL;
    ob_wait_lock();
    uint32_t taken = take((struct port *)object, completions, count, &done);
    ob_wait_unlock();
    while (done) {
        struct entry *next = done->next;
        free(done);
        done = next;
    }
    return taken;
}

uint32_t ob_port_depth(struct ob_object *object)
{
    ob_wait_lock();
    uint32_t depth = ((struct port *)object)->depth;
    ob_wait_unlock();
    return depth;
}

/* ---- packets of waits --------------------------------------------------------------------------
 */

static bool packet_fired(struct ob_async *async)
{
    struct wait_packet *packet =
        (struct wait_packet *)((char *)async - offsetof(struct wait_packet, async));
    packet->queued = true;
    enqueue(packet->port, &packet->entry);
    return true;
}

static void packet_destroy(struct ob_object *object)
{
    struct wait_packet *packet = (struct wait_packet *)object;
    ob_wait_lock();
    ob_async_disarm(&packet->async);
    if (packet->queued)
        dequeue(packet->port, &packet->entry);
    ob_wait_unlock();
    if (packet->port)
        ob_object_unref(&packet->port->object);
    if (packet->async.object)
        ob_object_unref(packet->async.object);
}

const struct ob_type ob_wait_packet_type = {
    .name = "WaitCompletionPacket",
    .destroy = packet_destroy,
};

struct ob_object *ob_wait_packet_create(void)
{
    struct wait_packet *packet = ob_object_create(&ob_wait_packet_type, sizeof(*packet));
    if (!packet)
        return NULL;
    packet->async.fired = packet_fired;
    packet->entry.packet = packet;
    return &packet->object;
}

nt_status ob_wait_packet_associate(struct ob_object *object, struct ob_object *port,
                                   struct ob_object *target, const struct ob_completion *completion,
                                   uint32_t thread_id, bool *signaled)
{
    struct wait_packet *packet = (struct wait_packet *)object;
    struct ob_object *old_port = NULL, *old_target = NULL;
    nt_status status = STATUS_SUCCESS;
    if (!target->type->signaled)
        return STATUS_OBJECT_TYPE_MISMATCH;
    ob_object_ref(port);
    ob_object_ref(target);
    ob_wait_lock();
    if (packet->async.armed || packet->queued) {
        status = (nt_status)STATUS_INVALID_PARAMETER_1;
        old_port = port;
        old_target = target;
    } else {
        old_port = packet->port ? &packet->port->object : NULL;
        old_target = packet->async.object;
        packet->port = (struct port *)port;
        packet->async.object = target;
        packet->async.thread_id = thread_id;
        packet->entry.completion = *completion;
        *signaled = ob_async_arm(&packet->async);
    }
    ob_wait_unlock();
    if (old_port)
        ob_object_unref(old_port);
    if (old_target)
        ob_object_unref(old_target);
    return status;
}

nt_status ob_wait_packet_cancel(struct ob_object *object, bool remove_queued)
{
    struct wait_packet *packet = (struct wait_packet *)object;
    nt_status status = (nt_status)STATUS_CANCELLED;
    ob_wait_lock();
    if (packet->async.armed) {
        ob_async_disarm(&packet->async);
        status = STATUS_SUCCESS;
    } else if (packet->queued && remove_queued) {
        dequeue(packet->port, &packet->entry);
        packet->queued = false;
        status = STATUS_SUCCESS;
    } else if (packet->queued) {
        status = STATUS_PENDING;
    }
    ob_wait_unlock();
    return status;
}
