/*
 * Asks everything that pe/ can say about an image, for fuzzing and truncation tests: what matters
 * is that every answer comes back, from inside the bytes, in time.
 */
#ifndef TESTS_PEWALK_H
#define TESTS_PEWALK_H

#include "pe/image.h"

/*
 * Opens `bytes` in the layout and walks headers, rules, PE sections and all directories. The result
 * is a digest of what was read (0 when pe_open() refuses), so that no read is optimised away and
 * two walks of the same bytes can be compared.
 */
uint64_t pewalk(struct pe_span bytes, enum pe_layout layout);

#endif
