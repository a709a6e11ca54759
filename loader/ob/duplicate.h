/*
 * What a process answers about itself and its handles (duplicate.c).
 */
#ifndef OB_DUPLICATE_H
#define OB_DUPLICATE_H

#include "loader/ob/process.h"

/* A process, as it introduces itself; alike in both word sizes. */
struct ob_process_introduction {
    uint64_t start;
    uint32_t word_size; /* 32 or 64 */
    uint32_t reserved;
};
void ob_answer_process(struct ob_message *request, struct ob_message *reply);
void ob_answer_duplicate_in(struct ob_message *request, struct ob_message *reply);
void ob_answer_duplicate_out(struct ob_message *request, struct ob_message *reply);
void ob_answer_close(struct ob_message *request, struct ob_message *reply);

#endif
