// Swagger UI over this server's own description; the validator badge would ask another host.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
