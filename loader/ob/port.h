/*
 * I/O completion ports, as queues of packets, and packets that are bound to a wait (Microsoft's
 * documentation of I/O completion ports and of NtAssociateWaitCompletionPacket).
 */
#ifndef OB_PORT_H
#define OB_PORT_H

#include "loader/ob/object.h"

extern const struct ob_type ob_port_type, ob_wait_packet_type;

struct ob_completion {
    uintptr_t key;
    void *context; /* the OVERLAPPED, or whatever the poster means */
    nt_status status;
    uintptr_t information; /* bytes transferred */
};

/* Signaled while packets are queued; waiting for it takes none. */
struct ob_object *ob_port_create(void);
nt_status ob_port_post(struct ob_object *port, const struct ob_completion *completion);
/* Takes up to `count` packets, in order; 0 when there is none. */
uint32_t ob_port_take(struct ob_object *port, struct ob_completion *completions, uint32_t count);
uint32_t ob_port_depth(struct ob_object *port);

struct ob_object *ob_wait_packet_create(void);
/*
 * The packet is queued to the port once `object` is signaled, which takes the object as a wait
 * does; `*signaled` says whether that was at once. STATUS_INVALID_PARAMETER_1 while it waits or is
 * queued; STATUS_OBJECT_TYPE_MISMATCH for an object that cannot be waited for.
 */
nt_status ob_wait_packet_associate(struct ob_object *packet, struct ob_object *port,
                                   struct ob_object *object, const struct ob_completion *completion,
                                   uint32_t thread_id, bool *signaled);
/*
 * Ends the wait. STATUS_CANCELLED when it was not associated (any more); of a packet that is queued
 * already: STATUS_PENDING, or success when it was taken out of the queue (`remove_queued`).
 */
nt_status ob_wait_packet_cancel(struct ob_object *packet, bool remove_queued);

#endif
