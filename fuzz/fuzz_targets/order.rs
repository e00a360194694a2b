//! The work order's token. The first byte chooses: the text as the token, or a token that our key signed
//! around the text, which brings the claims' reader into reach.
#![no_main]

use jsonwebtoken::{EncodingKey, Header, encode};
use libfuzzer_sys::fuzz_target;
use stillframe_wire::{SigningKey, WorkOrder};

const KEY: [u8; 32] = [7; 32];
const NOW: u64 = 1_763_800_000;

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let key = SigningKey::new(KEY.to_vec()).expect("a key long enough");
    let signed = choice % 2 == 1;
    let token = if signed {
        let Ok(claims) = serde_json::from_str::<serde_json::Value>(text) else { return };
        encode(&Header::default(), &claims, &EncodingKey::from_secret(&KEY)).expect("claims can be signed")
    } else {
        text.to_owned()
    };
    let read = WorkOrder::read_unverified(&token);
    match WorkOrder::verify(&token, &key, NOW) {
        Ok(order) => {
            assert!(order.expires >= NOW);
            assert_eq!(read.as_ref(), Ok(&order), "verified and read differently");
            let again = order.sign(&key).expect("an order that was verified can be signed");
            assert_eq!(WorkOrder::verify(&again, &key, NOW).as_ref(), Ok(&order));
        }
        // Nobody else can sign; what our key signed fails for its claims or its age.
        Err(error) => {
            if let (true, Ok(order)) = (signed, &read) {
                assert!(order.expires < NOW, "{error}");
            }
        }
    }
});
