//! Locks that survive a panic of whoever held them: every change under a lock here is a single insert
//! or assignment, so that the data behind a poisoned one is whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
