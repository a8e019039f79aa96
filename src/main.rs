fn main() {
    struct E;
    impl async_graphql::extensions::ExtensionFactory for E {
        fn create(&self) -> std::sync::Arc<dyn async_graphql::extensions::Extension> {
            struct X;
            impl async_graphql::extensions::Extension for X {}
            std::sync::Arc::new(X)
        }
    }
    println!(
        "{}",
        madang::server::schema::sdl(&madang::server::schema::build(None, E))
    );
}
