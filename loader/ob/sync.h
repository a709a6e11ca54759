/*
 * Events, semaphores and mutexes that other processes know (Microsoft's documentation of the
 * synchronisation objects; ob/object.h has the nameless ones).
 */
#ifndef OB_SYNC_H
#define OB_SYNC_H

#include "loader/ob/parcel.h"
#include "loader/ob/record.h"

extern const struct ob_record_type ob_event_record, ob_semaphore_record, ob_mutex_record;
/* How they get to other processes: one that had no record gets one then. */
extern const struct ob_courier ob_event_courier, ob_semaphore_courier, ob_mutex_courier;

/*
 * As ob_record_create(): STATUS_OBJECT_NAME_EXISTS with the existing object, whatever the other
 * arguments say; a mutex that exists gets no new owner. Without a name: local objects.
 * STATUS_INVALID_PARAMETER for the limits of semaphores. Opening: ob_record_open().
 */
nt_status ob_event_create_named(const struct ob_name *name, bool global, bool manual_reset,
                                bool initial, struct ob_object **out, struct pe_error *err);
nt_status ob_semaphore_create_named(const struct ob_name *name, bool global, int32_t initial,
                                    int32_t maximum, struct ob_object **out, struct pe_error *err);
nt_status ob_mutex_create_named(const struct ob_name *name, bool global, uint32_t owner_thread,
                                struct ob_object **out, struct pe_error *err);

/* What NtQueryEvent, NtQuerySemaphore and NtQueryMutant tell. */
void ob_event_query(struct ob_object *event, bool *manual_reset, bool *is_set);
void ob_semaphore_query(struct ob_object *semaphore, int32_t *count, int32_t *maximum);
/* `count`: 1 = free, less = how often it is owned. */
void ob_mutex_query(struct ob_object *mutex, uint32_t thread_id, int32_t *count, bool *owned_here,
                    bool *abandoned);

/* For who lists records: the state in the body of one of the three types, as one line of text
 * ("manual-reset, set"); false when it makes no sense. */
bool ob_sync_describe(uint32_t type_id, const void *body, char *text, size_t size);

#endif
