/* The store's reading side, on a connection of its own that waits for no writer. */
#ifndef VEO_STORE_READER_H
#define VEO_STORE_READER_H

#include "daemon/io/store.h"

struct store_reader;

int store_reader_open(const char *path, struct store_reader **ret, struct error *error);
void store_reader_close(struct store_reader *reader); /* takes NULL */

/* Fills in the results; all of them are of the same moment. */
void store_reader_perform(struct store_reader *reader, struct store_read *read);

/* As those of store.h. */
int store_reader_each_live(struct store_reader *reader, void (*each)(void *arg, struct job *job),
                           void *arg, struct error *error);
int store_reader_each_duration(struct store_reader *reader, size_t limit,
                               void (*each)(void *arg, const char *model, int64_t ms), void *arg,
                               struct error *error);
int store_reader_each_blob(struct store_reader *reader,
                           void (*each)(void *arg, const struct store_blob *blob), void *arg,
                           struct error *error);
int store_reader_each_working_session(struct store_reader *reader,
                                      void (*each)(void *arg, struct store_session *session),
                                      void *arg, struct error *error);
int store_reader_each_charge(struct store_reader *reader, int64_t since, store_charge_fn *each,
                             void *arg, struct error *error);
int store_reader_count_states(struct store_reader *reader, uint64_t ret[JOB_STATE_COUNT],
                              struct error *error);

#endif
