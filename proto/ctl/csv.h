/* CSV as RFC 4180 has it: fields that need it in quotes, quotes doubled, lines ended by CR LF. */
#ifndef VEO_CTL_CSV_H
#define VEO_CTL_CSV_H

#include "proto/buf.h"

/* Adds a field to the record, after a comma if there is one before it. */
void csv_add(struct buf *record, const char *text);

#endif
