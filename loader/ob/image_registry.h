/*
 * Who has which image section object: how a process finds the one that another has built
 * (mm/section.h, struct mm_image_registry).
 */
#ifndef OB_IMAGE_REGISTRY_H
#define OB_IMAGE_REGISTRY_H

#include "loader/mm/section.h"

/*
 * Image section objects of files are shared with the other processes of the user from now on;
 * idempotent, thread-safe. Without a usable runtime directory nothing is shared, and nothing fails.
 */
void ob_image_registry_start(void);
/* mm_section_create_image() of an object that is final at once: for who does not map it now. */
nt_status ob_image_create(int fd, const char *name, struct mm_section **out, struct pe_error *err);

#endif
